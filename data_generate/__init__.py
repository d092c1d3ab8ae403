"""Rows: loads a manifest into the source database and goes on inserting."""

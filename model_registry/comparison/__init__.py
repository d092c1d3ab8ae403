"""Measures rehearsal strategies against each other."""

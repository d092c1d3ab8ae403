"""Measurements of the running platform, each beside what one would otherwise use. Nothing imports them."""

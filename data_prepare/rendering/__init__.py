"""A small renderer for photographs of truck cargo: solids cast onto a depth buffer, lit, and taken with a camera."""

"""The only code that several stages import: contracts, settings base, image preprocessing, and service helpers."""

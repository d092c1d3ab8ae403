"""Every service as a plain process on this machine, for use without Docker; no domain logic."""

"""From the registry to a classifier that serves."""

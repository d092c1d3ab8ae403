"""From rows to the source table, at the wanted rate."""

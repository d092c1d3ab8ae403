"""From prediction rows to alarms."""

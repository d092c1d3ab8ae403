"""From the topic to prediction rows."""

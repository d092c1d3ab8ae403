"""From an alarm to a challenger and the verdict on it."""

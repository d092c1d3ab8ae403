"""What both services ask: the prediction API and the target database."""

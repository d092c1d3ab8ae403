"""Images: corrupt them, list them, render a sample data set."""

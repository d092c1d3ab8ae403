"""The one way an image becomes numbers, in training and in serving."""

"""From labelled rows to images for training and held-out ones."""

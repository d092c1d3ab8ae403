"""From a picture to the 1280 numbers that the pretrained network makes of it."""

"""From what has failed, or gone back, to where it goes on."""

"""What a request passes through on its way to an answer."""

"""What a running generator is asked for, and the labels that come later."""

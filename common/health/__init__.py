"""What a long-running worker says of itself: a heartbeat file, and /livez, /readyz, /metrics over HTTP."""

"""What `make demo` shows: rows that flow, a model that repairs itself, and an account of every row."""

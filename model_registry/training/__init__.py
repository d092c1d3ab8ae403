"""From embeddings to one graph with its figures."""

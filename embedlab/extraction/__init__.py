"""Images into embeddings, and the self-test of a model's input."""

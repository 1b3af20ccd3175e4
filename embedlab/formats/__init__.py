"""Other programs' files: embeddings, lists of pairs, attribute tables, maps."""

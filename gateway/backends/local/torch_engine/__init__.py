"""A transformers model with a decode loop of our own: logits, positions, masks and caches are in our hands."""

"""Runs a transformers model with our own decode loop, which controls logits, positions, masks and caches."""

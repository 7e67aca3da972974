"""Runs a transformers model with a decode loop of our own, which controls logits, positions, masks and caches."""

"""Measures whether a template helps a model. It compares answers to raw prompts with answers to rewritten prompts."""

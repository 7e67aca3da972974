"""Measures whether a template helps a model: pairs of answers to raw and rewritten prompts, and their scores."""

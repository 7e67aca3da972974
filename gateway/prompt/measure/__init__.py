"""Measures whether a template helps a model, by comparing answers to raw and rewritten prompts."""

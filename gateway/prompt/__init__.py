"""Improves prompts: classifies the prompt, chooses a template, fills its slots, and guards the result."""

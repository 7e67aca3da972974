"""Reads prompts with the word lists in `words/`, which has one file for each language."""

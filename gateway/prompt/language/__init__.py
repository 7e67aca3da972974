"""Reads prompts by the word lists in `words/`, one file for each language."""

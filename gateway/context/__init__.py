"""Adds passages to prompts: reads files, cuts and embeds them, searches them, and fits prompts into the window."""

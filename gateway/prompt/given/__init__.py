"""Prompts that are given as files of other tools, instead of found in traffic."""

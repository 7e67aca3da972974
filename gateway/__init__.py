"""Foreword: an OpenAI-compatible gateway that improves prompts and adds context to them."""

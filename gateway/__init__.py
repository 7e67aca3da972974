"""Foreword: an OpenAI-compatible gateway that improves prompts and feeds them context."""

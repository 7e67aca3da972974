"""Anthropic's API: requests, answers, streams and errors, and how they are translated to and from OpenAI's chat API."""

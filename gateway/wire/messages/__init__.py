"""Anthropic's API: requests, answers, streams and errors, and their translation to and from OpenAI's chat."""

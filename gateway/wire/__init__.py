"""Requests, prompts and errors as JSON and SSE in the form of OpenAI's and Anthropic's APIs. No other folder knows
it."""

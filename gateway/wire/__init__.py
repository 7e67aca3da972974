"""Requests, prompts and errors in the JSON and SSE forms of OpenAI's and Anthropic's APIs. Only this folder knows these
forms."""

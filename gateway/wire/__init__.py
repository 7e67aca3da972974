"""Decodes requests, and encodes prompts and errors, in OpenAI's JSON and SSE. Only this folder knows these formats."""

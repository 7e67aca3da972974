"""OpenAI's JSON and SSE, in this folder alone: decoding requests, encoding prompts, error envelopes."""

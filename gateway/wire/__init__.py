"""OpenAI's JSON and SSE, which only this folder knows: decoding requests, encoding prompts, error envelopes."""

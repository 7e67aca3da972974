"""OpenAI's JSON and SSE, known here alone: decoding asks, encoding prompts, error envelopes."""

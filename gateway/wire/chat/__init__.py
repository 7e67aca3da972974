"""Requests and answers of `/v1/chat/completions` in OpenAI's JSON. Also decodes legacy completions and embeddings
requests."""

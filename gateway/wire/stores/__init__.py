"""Requests and answers of `/v1/vector_stores` and `/v1/files` in OpenAI's JSON."""

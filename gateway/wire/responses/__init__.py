"""Requests and answers of `/v1/responses` in OpenAI's JSON."""

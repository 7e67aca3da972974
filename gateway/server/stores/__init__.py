"""The endpoints `/v1/vector_stores` and `/v1/files`."""

"""Context for prompts: chunking, embedding, storing, retrieving, fitting into the window."""

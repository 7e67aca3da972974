"""What a prompt needs to know: chunking, embedding, storing, retrieving, fitting into the window."""

"""The readers. Each of them converts the bytes of one format to a document."""

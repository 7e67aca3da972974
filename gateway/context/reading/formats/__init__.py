"""One reader for each file format. A reader converts the bytes of a file to a document."""

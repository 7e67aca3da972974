"""What is in the collections, and how it is searched."""

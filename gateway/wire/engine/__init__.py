"""What an engine of our own is asked and answers."""

"""What the words of a prompt mean, in every language of `words/`."""

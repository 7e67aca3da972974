"""Files that several processes use at once."""

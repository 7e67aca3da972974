"""How files get into a collection."""

"""What becomes of a winner."""

"""Publishing a winner: files, pointers, git branches."""

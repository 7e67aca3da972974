"""Publishes a winner: writes its files, moves pointers, and makes git branches."""

"""Stores collections, and searches in them."""

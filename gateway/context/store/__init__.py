"""Stores the collections, and searches them."""

"""Finds citation marks in an answer and reports them."""

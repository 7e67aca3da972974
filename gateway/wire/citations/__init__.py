"""Finds the marks with which an answer cites its sources, and reports them."""

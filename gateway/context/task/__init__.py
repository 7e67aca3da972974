"""Classifies what a task needs from a long text: one place, a summary, the whole text, or a transformation of the whole
text.
"""

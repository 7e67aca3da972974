"""Classifies what a task needs of a long text: one place, a summary, all of it, or a transformation of all of it."""

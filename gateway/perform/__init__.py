"""Runs the techniques that need more than one plain call, for several answers, checks, or another round."""

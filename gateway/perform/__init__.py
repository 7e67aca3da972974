"""Runs the techniques that need more than one plain call: several answers, checks, another round."""

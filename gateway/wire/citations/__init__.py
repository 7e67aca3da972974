"""The marks with which an answer cites its sources."""

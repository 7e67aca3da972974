"""Tests that the jobs decide by."""

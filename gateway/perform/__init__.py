"""Calls the model for an exchange: once, or several times for samples, checks and further rounds."""

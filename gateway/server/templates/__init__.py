"""The template library over HTTP: as JSON, and as pages for people."""

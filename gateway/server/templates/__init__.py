"""The template library over HTTP, as JSON and as HTML pages."""

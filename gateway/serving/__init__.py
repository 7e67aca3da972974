"""The processes that serve: one parent that watches, and workers that speak HTTP/1.1 and run the application."""

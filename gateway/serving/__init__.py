"""The server's processes: a parent that supervises, and workers that speak HTTP/1.1 and run the application."""

"""The server's processes: a parent that supervises workers, and workers that serve the application over HTTP/1.1."""

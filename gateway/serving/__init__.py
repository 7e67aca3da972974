"""The server's processes: a parent that supervises workers, and workers that serve HTTP/1.1 with the application."""

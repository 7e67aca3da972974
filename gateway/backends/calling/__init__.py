"""How a request is sent to deployments: which are skipped, when a request is retried, and how several sendings race."""

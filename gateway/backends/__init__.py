"""Who answers: routing, calling, and the remote backend."""

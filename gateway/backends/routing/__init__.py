"""From a model's name to the backends that answer, in the order in which they are tried."""

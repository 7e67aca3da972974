"""Finds the backends that serve a model, in the order in which a request tries them."""

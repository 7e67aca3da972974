"""How a request is called: which deployments rest, when a refusal is tried again, and sendings that race."""

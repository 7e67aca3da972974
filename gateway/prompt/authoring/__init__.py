"""For those who write templates: lint, tests, history, the life of a version."""

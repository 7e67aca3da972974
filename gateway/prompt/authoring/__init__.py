"""Tools for template authors: lint, tests, history, the steps from draft to active."""

"""Tools for template authors: lint, tests, history, and the steps from draft to active."""

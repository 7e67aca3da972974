"""Answers with tools of MCP servers."""

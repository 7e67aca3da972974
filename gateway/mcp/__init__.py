"""Sessions with MCP servers: lists of tools, and calls of tools. The official SDK speaks the protocol."""

"""Tools of MCP servers in the chat APIs: what requests name, and answers of several rounds."""

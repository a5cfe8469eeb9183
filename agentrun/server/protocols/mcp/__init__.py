"""The agent as a tool of an MCP server, over streamable HTTP; the `mcp` package does the talking."""

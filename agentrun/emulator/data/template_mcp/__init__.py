"""Templates as MCP servers: sandboxes whose tools any MCP client can call."""

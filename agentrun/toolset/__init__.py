"""Tool sets: the tools that an OpenAPI document or an MCP server offers."""

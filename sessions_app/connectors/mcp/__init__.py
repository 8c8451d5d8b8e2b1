"""MCP servers: Stint's client for them, and the checks before access to a server starts."""

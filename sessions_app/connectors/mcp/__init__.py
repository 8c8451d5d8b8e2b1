"""MCP servers: how Stint speaks to them, and what is looked at before access to one begins."""

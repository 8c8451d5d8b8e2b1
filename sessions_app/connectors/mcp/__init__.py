"""MCP servers: how Stint talks to them, and what is checked before access to one starts."""

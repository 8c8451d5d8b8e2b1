"""The door of agents: MCP clients call tools here, each call decided by its grant; and Stint's own MCP server."""

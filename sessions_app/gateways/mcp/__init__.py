"""The MCP gateway: clients call tools here, and the grant decides each call. Also Stint's own MCP server."""

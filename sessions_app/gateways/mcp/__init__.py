"""The MCP gateway: clients call tools through it, and the grant decides each call.

Also Stint's own MCP server.
"""

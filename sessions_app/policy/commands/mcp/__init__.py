"""Tool calls of the Model Context Protocol."""

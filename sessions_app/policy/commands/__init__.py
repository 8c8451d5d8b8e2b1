"""The command language: which commands a command set allows, one module per kind of cluster."""

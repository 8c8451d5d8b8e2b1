"""The command language: which commands a command set allows. One package per kind of cluster."""

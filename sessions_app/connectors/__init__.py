"""Connectors change and read targets, one connector for each kind of cluster. No Django here."""

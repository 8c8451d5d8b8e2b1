"""Queries that only read. Nothing here writes."""

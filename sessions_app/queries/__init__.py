"""Read-only queries. Nothing here writes."""

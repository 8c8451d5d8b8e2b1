"""Read-only queries. This package never writes."""

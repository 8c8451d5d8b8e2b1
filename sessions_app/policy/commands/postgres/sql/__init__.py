"""SQL statements of command sets: parsed by PostgreSQL's grammar, and written in canonical form."""

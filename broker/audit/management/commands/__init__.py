"""Management commands for the record."""

"""Management commands for identities."""

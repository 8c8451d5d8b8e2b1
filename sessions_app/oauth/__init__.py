"""The OAuth 2 endpoints, where programs get, introspect and revoke tokens."""

"""The OAuth 2 endpoints: how programs get, introspect and revoke tokens."""

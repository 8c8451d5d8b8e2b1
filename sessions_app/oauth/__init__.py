"""The OAuth 2 endpoints: how programs get, ask about and give up tokens."""

"""Real servers and gateways for tests, and stand-ins for third-party systems that can't run here."""

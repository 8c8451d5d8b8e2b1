"""Real servers and gateways that tests run, and those of others that stand in for what can't run here."""

"""Real servers in temporary folders, for the demo and for tests."""

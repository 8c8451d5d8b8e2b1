"""Real servers in temporary folders, for the demonstration and for tests."""

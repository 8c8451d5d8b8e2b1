"""A Kubernetes API server for tests, and access to a real one."""

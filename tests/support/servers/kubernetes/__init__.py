"""An API server of Kubernetes for tests, and the door to a real one."""

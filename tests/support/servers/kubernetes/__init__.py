"""An API server of Kubernetes for tests, and the endpoint to a real one."""

"""Commands on Kubernetes: rules of RBAC, also written as lines of kubectl."""

"""Commands on Kubernetes: RBAC rules, which can also be written as kubectl lines."""

"""The Kubernetes gateway: every request to an API server, exec, attach and port-forward included, one by one."""

"""The Kubernetes gateway: decides each request to an API server, including exec, attach and port-forward."""

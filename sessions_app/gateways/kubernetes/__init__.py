"""The Kubernetes gateway, which decides each request to an API server, including exec, attach and
port-forward.
"""

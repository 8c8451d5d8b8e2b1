"""The HTTP gateway: decides each request, as a reverse proxy itself or for proxies and other enforcement
points.
"""

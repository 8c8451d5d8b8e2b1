"""The HTTP gateway, which decides each request, either as a reverse proxy or for other proxies and
enforcement points.
"""

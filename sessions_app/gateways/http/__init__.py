"""The HTTP gateway: proxies and other enforcement points ask it whether a request may pass."""

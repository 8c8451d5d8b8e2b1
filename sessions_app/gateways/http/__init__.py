"""The door of HTTP: proxies and other enforcement points ask here whether a request may pass."""

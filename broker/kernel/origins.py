"""Origins of Stint's own entry points."""

from __future__ import annotations

from urllib.parse import urlsplit


def at_port(url: str, port: int) -> str:
    """Return the origin at another port of the same host: `http://[::1]:8001`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"

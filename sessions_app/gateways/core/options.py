"""Where and how the web gateways listen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """The address of the TLS listener, and the ``url`` that clients use.

    ``certificate`` and ``key`` are PEM files; both empty: certificates of Stint's own authority.
    """

    host: str
    port: int
    url: str
    certificate: str = ""
    key: str = ""

"""Options of the TLS listeners."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """The address of the TLS listener, and the ``url`` that clients use.

    ``certificate`` and ``key`` are PEM files; if both are empty, Stint's own authority issues certificates.
    """

    host: str
    port: int
    url: str
    certificate: str = ""
    key: str = ""

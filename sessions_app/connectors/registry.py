"""Which connector serves which kind of cluster."""

from __future__ import annotations

from collections.abc import Callable

from sessions_app.connectors.base import Connector, ConnectorError

_makers: dict[str, Callable[[], Connector]] = {}


def register(kind: str, make: Callable[[], Connector]) -> None:
    """Let ``make`` give the connector for a kind, in place of any that was registered before."""
    _makers[kind] = make


def connector_for(kind: str) -> Connector:
    """Return the connector for a kind. Raises ConnectorError for a kind that nothing serves."""
    try:
        make = _makers[kind]
    except KeyError:
        raise ConnectorError(f"There is no connector for clusters of kind {kind}.", permanent=True) from None
    return make()

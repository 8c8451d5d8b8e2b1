"""Connectors, with the keys and addresses that they need from the database and the settings."""

from __future__ import annotations

from sessions_app.connectors import registry
from sessions_app.connectors.base import Connector


def connector_for(kind: str) -> Connector:
    """Return the connector for a kind of cluster. Raises ConnectorError for a kind that nothing serves."""
    return registry.connector_for(kind)

"""Connectors, with the keys and addresses that they need from the database and the settings."""

from __future__ import annotations

from django.conf import settings

from broker.kernel.crypto import CannotDecrypt
from sessions_app.connectors import registry
from sessions_app.connectors.base import Connector, ConnectorError
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connector import SSHConnector
from sessions_app.queries.authority import active_ssh_ca, ssh_ca_private_key


def connector_for(kind: str) -> Connector:
    """Return the connector for a kind of cluster. Raises ConnectorError for a kind that nothing serves."""
    return registry.connector_for(kind)


def _ssh() -> Connector:
    key = active_ssh_ca()
    if key is None:
        raise ConnectorError(
            "There is no SSH certificate authority; `manage.py ssh_ca` makes one.", permanent=True
        )
    try:
        private_key = ssh_ca_private_key(key)
    except CannotDecrypt as error:
        raise ConnectorError(str(error), permanent=True) from error
    return SSHConnector(Authority(private_key), source_addresses=settings.SSH_SOURCE_ADDRESS)


registry.register("ssh", _ssh)

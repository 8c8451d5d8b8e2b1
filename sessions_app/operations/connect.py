"""Connectors, with the keys and addresses that they need from the database and the settings."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings

from broker.kernel import clock
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
    return SSHConnector(
        Authority(private_key),
        source_addresses=settings.SSH_SOURCE_ADDRESS,
        clock=_database_clock(),
    )


def _database_clock() -> Callable[[], float]:
    """Return a clock that goes on from the database's time: a node whose own is wrong would sign what targets refuse."""
    began, since = clock.now().timestamp(), time.monotonic()
    return lambda: began + time.monotonic() - since


registry.register("ssh", _ssh)

"""The registry of connectors, one for each kind of cluster.

A third-party package adds a connector through an entry point in the group ``stint.connectors`` that names a
``ConnectorType``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from broker.kernel.packages import added_by_packages
from sessions_app.connectors.base import ConnectionParameters, Connector, ConnectorError

GROUP = "stint.connectors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorType:
    """One kind of cluster.

    ``prepares`` means that access must be created on each target before a grant can be used. ``issues`` means
    that a grant is used with a credential. ``account``: the usual login account of targets, which then also
    have a host key; empty if they have neither. ``runs`` means that commands run through the SSH gateway.
    ``orders`` means that the gateway runs commands that holders start from a page. ``shows`` means that
    created objects can be observed on a target. ``single`` means that each cluster has exactly one target.
    ``sees``: each use goes through a gateway of Stint, which sees every attempt. ``commands``: the kind of
    command sets that its clusters use; empty for its own kind.
    """

    kind: str
    title: str
    make: Callable[[], Connector]
    parameters: type[ConnectionParameters] = field(default=ConnectionParameters)
    default_port: int
    prepares: bool = True
    issues: bool = False
    account: str = ""
    runs: bool = False
    orders: bool = False
    shows: bool = True
    single: bool = False
    sees: bool = False
    commands: str = ""


_types: dict[str, ConnectorType] = {}
_loaders: list[Callable[[], None]] = []
_loading = threading.RLock()


def load_by(loader: Callable[[], None]) -> None:
    """Set the ``loader`` that registers all types when one is first needed, which saves memory
    in processes that need none.
    """
    _loaders.append(loader)


def _load() -> None:
    if not _loaders:
        return
    # Other threads wait, so that kinds that are still being registered don't appear unknown to them.
    with _loading:
        while _loaders:
            _loaders[-1]()
            _loaders.pop()


def commands_of(kind: str) -> str:
    """Return the kind of the command sets that clusters of a kind use."""
    found = find(kind)
    return found.commands or kind if found else kind


def register(connector_type: ConnectorType) -> None:
    """Register a type for its kind, replacing an earlier type."""
    _types[connector_type.kind] = connector_type


def types() -> dict[str, ConnectorType]:
    """Return every type by kind, including those of third parties."""
    _load()
    return {**_from_packages(), **_types}


def find(kind: str) -> ConnectorType | None:
    """Return the type of a kind; None if no connector is installed for the kind."""
    return types().get(kind)


def type_of(kind: str) -> ConnectorType:
    """Return the type of a kind. Raises ConnectorError for a kind without a connector."""
    found = find(kind)
    if found is None:
        raise ConnectorError(f"There is no connector for clusters of kind {kind}.", permanent=True)
    return found


def connector_for(kind: str) -> Connector:
    """Return the connector for a kind. Raises ConnectorError for a kind without a connector."""
    return type_of(kind).make()


@cache
def _from_packages() -> dict[str, ConnectorType]:
    return {one.kind: one for one in added_by_packages(GROUP, ConnectorType)}

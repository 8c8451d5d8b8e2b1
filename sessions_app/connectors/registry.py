"""Which connector serves which kind of cluster.

A package of a third party gives one more by an entry point of the group ``stint.connectors``, which names a
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
    """One kind of cluster, before any is logged in to.

    ``prepares``: something must be made on a target before a grant can be used; ``issues``: a grant is used
    with a credential; ``account``: the usual login account of targets, which have one and a host key of their own; empty where they have neither;
    ``runs``: its commands run through the SSH gateway, also from the pages; ``shows``: what was made can be observed on a target;
    ``single``: a cluster has one target; ``sees``: each use passes a gateway of Stint, which sees what is tried; ``commands``: the kind of the command sets that its clusters take, its own if
    empty.
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
    shows: bool = True
    single: bool = False
    sees: bool = False
    commands: str = ""


_types: dict[str, ConnectorType] = {}
_loaders: list[Callable[[], None]] = []
_loading = threading.RLock()


def load_by(loader: Callable[[], None]) -> None:
    """Let ``loader`` register types when one is first asked for: a process that asks for none spares their memory."""
    _loaders.append(loader)


def _load() -> None:
    if not _loaders:
        return
    # A second thread waits: to it, kinds that are being registered must not look like kinds that nothing serves.
    with _loading:
        while _loaders:
            _loaders[-1]()
            _loaders.pop()


def commands_of(kind: str) -> str:
    """Return the kind of the command sets that clusters of a kind take."""
    found = find(kind)
    return found.commands or kind if found else kind


def register(connector_type: ConnectorType) -> None:
    """Let a type serve its kind, in place of any that was registered before."""
    _types[connector_type.kind] = connector_type


def types() -> dict[str, ConnectorType]:
    """Return every type by its kind, those of third parties as well."""
    _load()
    return {**_from_packages(), **_types}


def find(kind: str) -> ConnectorType | None:
    """Return the type of a kind, None for one that nothing serves (any more)."""
    return types().get(kind)


def type_of(kind: str) -> ConnectorType:
    """Return the type of a kind. Raises ConnectorError for a kind that nothing serves."""
    found = find(kind)
    if found is None:
        raise ConnectorError(f"No connector for clusters of kind {kind}.", permanent=True)
    return found


def connector_for(kind: str) -> Connector:
    """Return the connector for a kind. Raises ConnectorError for a kind that nothing serves."""
    return type_of(kind).make()


@cache
def _from_packages() -> dict[str, ConnectorType]:
    return {one.kind: one for one in added_by_packages(GROUP, ConnectorType)}

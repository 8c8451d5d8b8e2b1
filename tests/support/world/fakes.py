"""Fake connectors in place of those that log in to targets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sessions_app.connectors import registry
from sessions_app.connectors.base import Connector
from sessions_app.operations.targets import connect


@contextmanager
def serving(make: Callable[[], Connector], *, kind: str = "ssh", **changes: Any) -> Iterator[None]:
    """Use connectors from ``make`` for a kind until the block ends; ``changes`` are other fields of
    its type.
    """
    real = registry.find(kind)
    registry.register(replace(real or connect.SSH, kind=kind, make=make, **changes))
    try:
        yield
    finally:
        if real is None:
            del registry._types[kind]
        else:
            registry.register(real)

"""Create and remove a grant's objects. Each step can be repeated after a crash at any point."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.kubernetes.api import Api, Away, Data
from sessions_app.connectors.kubernetes.look import Found
from sessions_app.connectors.kubernetes.objects import name_of, path_of, same

_ROUNDS = 4


def ensure(api: Api, plural: str, namespace: str, wanted: Data) -> bool:
    """Ensure that the object exists as wanted, and return whether an object with its name existed before.

    An object that differs is deleted and created again. So Stint needs no update permission; besides, a
    binding's role can't be changed in any other way.
    """
    if _made(api, plural, namespace, wanted):
        return False
    path = path_of(plural, namespace, wanted["metadata"]["name"])
    for _ in range(_ROUNDS):
        status, there = api.call("GET", path, also=(404,))
        if status == 200 and same(api.sound(there, path), wanted):
            return True
        if status == 200:
            api.call("DELETE", path, also=(404,))
        if _made(api, plural, namespace, wanted):
            return True
    raise ConnectorError(
        f"Another client is changing {wanted['kind']} {wanted['metadata']['name']} on {api.name}."
    )


def _made(api: Api, plural: str, namespace: str, wanted: Data) -> bool:
    status, _ = api.call("POST", path_of(plural, namespace), wanted, also=(409,))
    return status != 409


@dataclass
class Removal:
    """Removes the objects of one grant. A failure does not stop the removal of the others."""

    api: Api
    mark: str
    removed: list[str] = field(default_factory=list)
    _errors: list[ConnectorError] = field(default_factory=list)

    @contextlib.contextmanager
    def trying(self) -> Iterator[None]:
        """Continue after an error, unless the API server does not respond at all."""
        try:
            yield
        except Away:
            raise
        except ConnectorError as error:
            self._errors.append(error)

    def remove(self, plural: str, namespaces: Iterable[str]) -> None:
        """Remove the object with the grant's name from each namespace."""
        for namespace in sorted(set(namespaces)):
            with self.trying():
                path = path_of(plural, namespace, name_of(self.mark))
                status, _ = self.api.call("DELETE", path, also=(404,))
                if status != 404:
                    self.removed.append(f"{plural.removesuffix('s')} in {namespace or 'the whole cluster'}")

    def remove_found(self, found: Found) -> None:
        """Remove the objects found, bindings first."""
        self.remove("rolebindings", found.bindings)
        if found.account:
            self.remove("serviceaccounts", [self.api.parameters.accounts])
        self.remove("roles", found.roles)

    def finish(self) -> None:
        """Raise the first permanent error, or else the first error."""
        for error in sorted(self._errors, key=lambda error: not error.permanent):
            raise error

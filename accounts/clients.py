"""Programs that may use the OAuth endpoints. They are public clients, so they have no secret."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from accounts.models import Scope
from broker.kernel.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Client:
    """A program: the scopes that it can request, and the lifetime of its tokens in hours."""

    id: str
    name: str
    scopes: tuple[str, ...]
    hours: int


# Never `administer`, because a person could be tricked into entering an attacker's code.
CLIENTS = {
    "stint-cli": Client(
        id="stint-cli",
        name="The stint command",
        scopes=(Scope.READ, Scope.REQUEST, Scope.DECIDE, Scope.END),
        hours=12,
    )
}


class UnknownClient(InvalidInput):
    """No program has this client ID. Check the ID."""

    code = "invalid_client"


class ScopeNotOffered(InvalidInput):
    """The program can't have this scope. Request another scope."""

    code = "invalid_scope"


def client_of(client_id: str) -> Client:
    """Return the program with this ID. Raises UnknownClient."""
    found = CLIENTS.get(client_id)
    if found is None:
        raise UnknownClient("Unknown client.", hint=f"Known clients: {', '.join(CLIENTS)}.")
    return found


def scopes_for(client: Client, wanted: Iterable[str]) -> list[str]:
    """Return the scopes that the program gets: the requested ones, or by default all scopes available to it.

    Raises ScopeNotOffered.
    """
    asked = set(wanted)
    if not asked <= set(client.scopes):
        raise ScopeNotOffered(
            "This scope is not available to this client.",
            hint=f"Request one or more of: {' '.join(client.scopes)}.",
        )
    return sorted(asked or set(client.scopes))

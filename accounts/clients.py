"""Programs that may use the OAuth endpoints. They are public clients: they can't keep a secret and are not asked for
one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from accounts.models import Scope
from broker.kernel.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Client:
    """One program. ``scopes`` is the most that it may ask for. Its tokens are valid for ``hours``."""

    id: str
    name: str
    scopes: tuple[str, ...]
    hours: int


# Never `administer`: a code that someone was talked into typing must not lead to more access.
CLIENTS = {
    "stint-cli": Client(
        id="stint-cli",
        name="The stint command",
        scopes=(Scope.READ, Scope.REQUEST, Scope.DECIDE, Scope.END),
        hours=12,
    )
}


class UnknownClient(InvalidInput):
    """No program has this id."""

    code = "invalid_client"


class ScopeNotOffered(InvalidInput):
    """The program may not have that scope."""

    code = "invalid_scope"


def client_of(client_id: str) -> Client:
    """Return the program with this id. Raises UnknownClient."""
    found = CLIENTS.get(client_id)
    if found is None:
        raise UnknownClient("Unknown client.", hint=f"Known clients: {', '.join(CLIENTS)}.")
    return found


def scopes_for(client: Client, wanted: Iterable[str]) -> list[str]:
    """Return the scopes that the program gets: those that it asks for, or all that it may have if it names none.

    Raises ScopeNotOffered.
    """
    asked = set(wanted)
    if not asked <= set(client.scopes):
        raise ScopeNotOffered(
            "This scope is not available to this client.",
            hint=f"Request one or more of: {' '.join(client.scopes)}.",
        )
    return sorted(asked or set(client.scopes))

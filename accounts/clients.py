"""The programs that may ask at the OAuth endpoints: public ones, which can keep no secret and are asked for none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from accounts.models import Scope
from broker.kernel.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Client:
    """One program. ``scopes`` is the most that it may ask for; ``hours``, how long what it gets is good."""

    id: str
    name: str
    scopes: tuple[str, ...]
    hours: int


# Never `administer`: a code that somebody was talked into typing must not open further doors.
CLIENTS = {
    "stint-cli": Client(
        id="stint-cli",
        name="The stint command",
        scopes=(Scope.READ, Scope.REQUEST, Scope.DECIDE, Scope.END),
        hours=12,
    )
}


class UnknownClient(InvalidInput):
    """There is no such program."""

    code = "invalid_client"


class ScopeNotOffered(InvalidInput):
    """The program may not have that scope."""

    code = "invalid_scope"


def client_of(client_id: str) -> Client:
    """Return the program with that id. Raises UnknownClient."""
    found = CLIENTS.get(client_id)
    if found is None:
        raise UnknownClient("Unknown client.", hint=f"Known clients: {', '.join(CLIENTS)}.")
    return found


def scopes_for(client: Client, wanted: Iterable[str]) -> list[str]:
    """Return the scopes that the program gets: those it wants, or, where it names none, all it may have.

    Raises ScopeNotOffered.
    """
    asked = set(wanted)
    if not asked <= set(client.scopes):
        raise ScopeNotOffered(
            "That scope is not offered to this client.", hint=f"Ask for some of: {' '.join(client.scopes)}."
        )
    return sorted(asked or set(client.scopes))

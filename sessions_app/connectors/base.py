"""What every connector promises: it creates, revokes and verifies access on a target, any number of times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, SecretStr

from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.scope import TargetFacts

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

# What Stint makes on a target begins with this, so that it is known again.
MARK = "stint"
# No call of a connector takes longer; a worker that waits for more has been stopped.
CALL_SECONDS = 25


class ConnectorError(Exception):
    """A target did not do, or did not confirm, what it was asked. ``permanent``: it won't before somebody mends it."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class ConnectionParameters(BaseModel):
    """How Stint logs in to the targets of a cluster, beyond address and port. Fields of type SecretStr are secrets: they
    are stored encrypted, and shown, logged and recorded nowhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def secret_fields(model: type[ConnectionParameters]) -> frozenset[str]:
    """The names of the fields that hold secrets."""
    return frozenset(
        name
        for name, about in model.model_fields.items()
        if about.annotation in (SecretStr, SecretStr | None)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One target of a cluster, and how it is known and logged in to."""

    cluster: str
    target: TargetFacts
    parameters: ConnectionParameters = field(default=ConnectionParameters(), repr=False)
    host_ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSpec:
    """A grant as a connector needs it on one target.

    ``mark`` (32 hexadecimal digits) names what is created for the grant there and authorizes nothing: every name on the target
    derives from it. ``made`` and ``before`` are what an earlier call returned, if they are known.
    """

    grant_ref: str
    mark: str
    holder: str
    place: Place
    commands: CompiledSet
    expires_at: dt.datetime
    made: Mapping[str, Json] = field(default_factory=dict)
    before: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What was made, or may be left, of a grant on one target. ``made`` is what the connector wants to know again; it
    holds no secret, and is empty where a crash lost it. ``before`` is what it saw on the target before it made anything, to
    hold the end against; it is kept as it came with the first answer, before anybody can use the grant, and shown nowhere.
    """

    grant_ref: str
    mark: str
    place: Place
    made: Mapping[str, Json] = field(default_factory=dict)
    before: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a target said when it was asked whether anything of a grant is left."""

    gone: bool
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Something on a target that carries Stint's mark. ``intact``: it is as ``provision`` made it; ``detail`` says what
    it is and what is wrong with it.
    """

    mark: str
    grant_ref: str = ""
    intact: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a holder uses a grant with, shown once. ``fields`` are label and value in the order of a form; ``secret`` names
    those to be hidden at first; ``command`` is the line to paste into a terminal.
    """

    fields: Mapping[str, str] = field(repr=False)
    secret: frozenset[str]
    command: str = field(repr=False, default="")
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One thing that was looked at on a target. ``fix`` says what to do, also as advice when ``ok``."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


class Connector(Protocol):
    """Creates and revokes access on targets of one kind.

    All of it may be called again after a crash at any point, from any number of threads, and ends within
    ``CALL_SECONDS``. What fails raises ConnectorError and nothing else.
    """

    kind: str

    def provision(self, spec: GrantSpec) -> Lease:
        """Create or repair what the grant needs on one target, and return what was created."""

    def revoke(self, lease: Lease) -> Evidence:
        """Unmake everything that derives from the lease's mark, read back, and return what was seen."""

    def verify(self, lease: Lease) -> Evidence:
        """Look for what is left of a grant, and change nothing."""

    def observe(self, place: Place) -> list[Observed]:
        """Return everything on a target that carries Stint's mark, whatever grant it is of, and change nothing."""

    def check(self, place: Place) -> list[CheckStep]:
        """Report step by step whether the target is set up for Stint. Never raises for what a target does."""


@runtime_checkable
class Issuer(Protocol):
    """A connector whose grants are used with a credential of the target's own."""

    def issue(self, spec: GrantSpec, lease: Lease) -> Credential:
        """Make a credential for what ``provision`` made; the one before stops being good for new logins."""


@runtime_checkable
class Named(Protocol):
    """Compiled commands that name roles of the target, which its administrators may change at any time."""

    def template_roles(self) -> tuple[str, ...]:
        """The roles that a grant may get, each once."""


@runtime_checkable
class RoleWatcher(Protocol):
    """A connector that can say which roles on a target no grant may have, however they came to be so."""

    def unfit_roles(self, place: Place, sets: Sequence[CompiledSet]) -> dict[str, str]:
        """Look at the roles that may be given there, and at those that command sets name; return for each that no grant may
        have why, and what mends it. Raises ConnectorError.
        """


@runtime_checkable
class CommandChecker(Protocol):
    """A connector that can say whether what command sets name is on a target."""

    def check_commands(self, place: Place, sets: Sequence[CompiledSet]) -> list[CheckStep]:
        """Report for each command set what of it is not there. Never raises for what a target does."""

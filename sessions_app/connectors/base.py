"""The connector contract: create, revoke and verify access on a target, any number of times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, get_args, runtime_checkable

from pydantic import BaseModel, ConfigDict, SecretStr

from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.scope import TargetFacts

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

# Prefix of everything that Stint creates on a target, so that it can be recognized.
MARK = "stint"
# The most seconds that one connector call takes. A worker that waits longer has been stopped.
CALL_SECONDS = 25


class ConnectorError(Exception):
    """A target did not do, or did not confirm, what it was asked. ``permanent``: retrying fails until someone fixes the
    cause.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class ConnectionParameters(BaseModel):
    """Connection settings of a cluster, beyond address and port. Fields of type SecretStr are secrets: they are stored
    encrypted, and never shown, logged or recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def unused_secrets(cls, given: Mapping[str, Any]) -> frozenset[str]:
        """Return the secrets that have no use with these values, so that stored ones are dropped."""
        del given
        return frozenset()


def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """The paths of the fields that hold secrets: `token`, or `inject.basic.password` of a nested model."""
    found: set[str] = set()
    for name, about in model.model_fields.items():
        for part in get_args(about.annotation) or (about.annotation,):
            if part is SecretStr:
                found.add(name)
            elif isinstance(part, type) and issubclass(part, BaseModel):
                found |= {f"{name}.{inner}" for inner in secret_fields(part)}
    return frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """One target of a cluster, with what identifies it and how to log in to it."""

    cluster: str
    target: TargetFacts
    parameters: ConnectionParameters = field(default=ConnectionParameters(), repr=False)
    host_ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSpec:
    """A grant as a connector needs it on one target.

    ``mark`` (32 hexadecimal digits) names what is created for the grant there: every name on the target derives from
    it. It authorizes nothing. ``made`` and ``before`` are what an earlier call returned, if known.
    """

    grant_ref: str
    mark: str
    holder: str
    place: TargetSpec
    commands: CompiledSet
    expires_at: dt.datetime
    made: Mapping[str, Json] = field(default_factory=dict)
    before: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSpec:
    """What was created, or may be left, for a grant on one target.

    ``made`` is what the connector needs in later calls. It holds no secret, and is empty if a crash lost it. ``before``
    is the state of the target before anything was created, to compare with the state after the end. It is stored
    unchanged from the first answer, before anyone can use the grant, and never shown.
    """

    grant_ref: str
    mark: str
    place: TargetSpec
    made: Mapping[str, Json] = field(default_factory=dict)
    before: Mapping[str, Json] = field(default_factory=dict)
    # Since when something of the grant may be there; None if unknown. The marks of other grants that may have something
    # at the same place. Whether all its commands ran where they could leave nothing behind (`contain: pidns`), and whether
    # some ran as root.
    since: dt.datetime | None = None
    others: tuple[str, ...] = ()
    contained: bool = False
    as_root: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """A target's answer to whether anything of a grant is left. ``left`` says what, and what to do about it."""

    gone: bool
    detail: Mapping[str, Json] = field(default_factory=dict)
    left: str = "Access from the grant is still on the target."


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Something on a target that carries a grant mark. ``intact``: it is as ``provision`` created it. ``detail`` says
    what it is and what is wrong with it.
    """

    mark: str
    grant_ref: str = ""
    intact: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """The credential that a holder uses a grant with, shown once. ``fields`` maps labels to values, in the order of a
    form. ``secret`` names the fields that are hidden at first. ``command`` is the line to paste into a terminal.
    """

    fields: Mapping[str, str] = field(repr=False)
    secret: frozenset[str]
    command: str = field(repr=False, default="")
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True)
class CheckStep:
    """The result of one check on a target. ``fix`` says what to do; with ``ok`` it is advice."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


class Connector(Protocol):
    """Creates and revokes access on targets of one kind.

    Every method can be called again after a crash at any point, from any number of threads, and ends within
    ``CALL_SECONDS``. Failures raise ConnectorError and nothing else.
    """

    kind: str

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Create or repair what the grant needs on one target, and return what was created."""

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Remove everything that derives from the lease's mark, read back, and return what was seen."""

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Look for what is left of a grant, and change nothing."""

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return everything on a target that carries a grant mark, of any grant, and change nothing."""

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Report, step by step, whether the target is set up for Stint. Never raises because of what a target does."""


@runtime_checkable
class Issuer(Protocol):
    """A connector whose grants are used with a credential for the target itself."""

    def issue(self, spec: GrantSpec, lease: LeaseSpec) -> Credential:
        """Create a credential for what ``provision`` created. The previous one stops working for new logins."""


@runtime_checkable
class Named(Protocol):
    """Compiled commands that name roles of the target. Its administrators can change these roles at any time."""

    def template_roles(self) -> tuple[str, ...]:
        """Return the roles that a grant can get, each once."""


@runtime_checkable
class RoleWatcher(Protocol):
    """A connector that can tell which roles on a target no grant may have, whatever made them unfit."""

    def unfit_roles(self, place: TargetSpec, sets: Sequence[CompiledSet]) -> dict[str, str]:
        """Check the roles that Stint can grant there, and those that command sets name. For each that no grant may
        have, return the reason and the fix. Raises ConnectorError.
        """


@runtime_checkable
class Sweeper(Protocol):
    """A connector that can remove what carries any of many marks in one call."""

    def sweep(self, place: TargetSpec, marks: Sequence[str]) -> Evidence:
        """Remove everything on a target that derives from one of the marks, and return what was seen. Raises
        ConnectorError.
        """


@runtime_checkable
class CommandChecker(Protocol):
    """A connector that can tell whether what command sets name exists on a target."""

    def check_commands(self, place: TargetSpec, sets: Sequence[CompiledSet]) -> list[CheckStep]:
        """Report, for each command set, what is missing on the target. Never raises because of what a target does."""

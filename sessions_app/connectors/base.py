"""The contract of a connector: create, revoke and verify access on a target.

Each operation can be repeated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, get_args, runtime_checkable

from pydantic import BaseModel, ConfigDict, SecretStr

from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.scope import TargetFacts

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

# The prefix by which everything that Stint creates on a target is recognized.
MARK = "stint"
# The time limit of one connector call, in seconds. A worker that takes longer is stopped.
CALL_SECONDS = 25


class ConnectorError(Exception):
    """A target did not perform or confirm an operation.

    ``permanent``: retries fail until someone fixes the cause.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class ConnectionParameters(BaseModel):
    """Connection settings of a cluster, beyond address and port. Fields of type SecretStr are secrets: they
    are stored encrypted, and never shown, logged or recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def unused_secrets(cls, given: Mapping[str, Any]) -> frozenset[str]:
        """Return the secrets that are unused with these values. Stored copies of them are then dropped."""
        del given
        return frozenset()


def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the paths of the secret fields: `token`, or `inject.basic.password` of a nested model."""
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
    """One target of a cluster, with its identity and its connection parameters."""

    cluster: str
    target: TargetFacts
    parameters: ConnectionParameters = field(default=ConnectionParameters(), repr=False)
    host_ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSpec:
    """A grant on one target, as passed to a connector.

    ``mark`` (32 hexadecimal digits) identifies what is created for the grant: every name on the target
    derives from the mark. The mark authorizes nothing. ``made`` and ``before`` are the values that an earlier
    call returned, if known.
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
    """The objects that were created, or may remain, for a grant on one target.

    ``made`` is the data that later calls need. It contains no secret, and is empty if it was lost in a crash.
    ``before`` is the state of the target before anything was created, for comparison with the state after the
    end. It is stored unchanged from the first result, before anyone can use the grant, and never shown.
    """

    grant_ref: str
    mark: str
    place: TargetSpec
    made: Mapping[str, Json] = field(default_factory=dict)
    before: Mapping[str, Json] = field(default_factory=dict)
    # The earliest time at which access for the grant may exist; None if unknown. The marks of other grants
    # that may have access to the same target. Whether all the grant's commands ran contained
    # (`contain: pidns`), and whether some ran as root.
    since: dt.datetime | None = None
    others: tuple[str, ...] = ()
    contained: bool = False
    as_root: bool = False
    # Paths of temporary files that unfinished uploads may have left on the target.
    unfinished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """A target's confirmation of whether anything of a grant is left.

    ``left`` describes the remaining objects, and what to do about them.
    """

    gone: bool
    detail: Mapping[str, Json] = field(default_factory=dict)
    left: str = "Access from the grant is still on the target."


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Something on a target that carries a grant mark.

    ``intact`` means that the object is as ``provision`` created it. ``detail`` describes the object and any
    deviation.
    """

    mark: str
    grant_ref: str = ""
    intact: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """The credential with which a holder uses a grant. It is shown once.

    ``fields`` maps labels to values, in display order. ``secret`` names the fields that are initially hidden.
    ``command`` is a line to paste into a terminal.
    """

    fields: Mapping[str, str] = field(repr=False)
    secret: frozenset[str]
    command: str = field(repr=False, default="")
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True)
class CheckStep:
    """The result of one check on a target.

    ``fix`` says how to fix a failed check; if ``ok``, it is advice.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""


class Connector(Protocol):
    """The operations on targets of one kind: create and revoke access.

    Every method can be called again after a crash at any point, from any number of threads, and ends within
    ``CALL_SECONDS``. Failures raise ConnectorError and nothing else.
    """

    kind: str

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Create or repair the grant's objects on one target, and return what was created."""

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Remove everything that derives from the lease's mark, read back, and return the evidence."""

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Check what is left of a grant, without changing anything."""

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return everything on a target that carries any grant's mark, without changing anything."""

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Report, step by step, whether the target is set up for Stint.

        Never raises because of the target's behavior.
        """


@runtime_checkable
class Issuer(Protocol):
    """A connector whose holders use a credential for the target itself."""

    def issue(self, spec: GrantSpec, lease: LeaseSpec) -> Credential:
        """Create a credential for the access that ``provision`` created. The previous credential no
        longer works for new logins.
        """


@runtime_checkable
class Expirer(Protocol):
    """A connector whose targets store a grant's deadline, but refuse only activity that begins after
    it.
    """

    def expire(self, lease: LeaseSpec) -> int:
        """End access that has expired according to the target's own data, and return the number of sessions
        that were ended. Uses only data on the target, which may lack an extension. Raises ConnectorError.
        """


@runtime_checkable
class Named(Protocol):
    """Compiled commands that name roles on the target.

    The server's administrators can change these roles at any time.
    """

    def template_roles(self) -> tuple[str, ...]:
        """Return the roles that a grant can get, without duplicates."""


@runtime_checkable
class RoleWatcher(Protocol):
    """A connector that can report the roles on a target that no grant may have."""

    def unfit_roles(self, place: TargetSpec, sets: Sequence[CompiledSet]) -> dict[str, str]:
        """Check the roles that Stint can grant on a target, and those that command sets name.

        Returns the reason and the fix for each role that no grant may have. Raises ConnectorError.
        """


@runtime_checkable
class Sweeper(Protocol):
    """A connector that can remove, in one call, everything that carries one of many marks."""

    def sweep(self, place: TargetSpec, marks: Sequence[str]) -> Evidence:
        """Remove everything on a target that derives from one of the marks, and return the evidence.

        Raises ConnectorError.
        """


@runtime_checkable
class CommandChecker(Protocol):
    """A connector that can check whether the programs, roles or tools that command sets name exist on a
    target.
    """

    def check_commands(self, place: TargetSpec, sets: Sequence[CompiledSet]) -> list[CheckStep]:
        """Report, for each command set, what is missing on the target.

        Never raises because of the target's behavior.
        """

"""What every connector promises: it makes, unmakes and reads back access on a target, any number of times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sessions_app.policy.scope import TargetFacts

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


class ConnectorError(Exception):
    """A target did not do, or did not confirm, what it was asked. ``permanent``: it won't before somebody mends it."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSpec:
    """A grant as a connector needs it. ``token`` marks what is made for it on a target; it opens nothing."""

    grant_ref: str
    token: str
    holder: str
    cluster: str
    host_ca: str
    targets: tuple[TargetFacts, ...]
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSpec:
    """What may be left of a grant on one target."""

    grant_ref: str
    token: str
    host_ca: str
    target: TargetFacts


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a target said when it was asked whether anything of a grant is left."""

    gone: bool
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One thing that was looked at on a target. ``fix`` says what to do, also as advice when ``ok``."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


class Connector(Protocol):
    """Makes and unmakes access on targets of one kind. All of it may be called again after a crash at any point."""

    kind: str

    def provision(self, spec: GrantSpec) -> list[LeaseSpec]:
        """Make what the grant needs and return it; an empty list when nothing has to be made beforehand."""

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Unmake everything, read back, and return what was seen. Raises ConnectorError."""

    def observe(self, lease: LeaseSpec) -> Evidence:
        """Look, and change nothing. Raises ConnectorError."""

    def check(self, *, target: TargetFacts, host_ca: str) -> list[CheckStep]:
        """Report step by step whether the target is set up for Stint. Never raises for what a target does."""

"""A connector that keeps its targets in memory, for the contract tests of all connectors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sessions_app.connectors.base import (
    CheckStep,
    ConnectorError,
    Credential,
    Evidence,
    GrantSpec,
    LeaseSpec,
    Observed,
    TargetSpec,
)
from sessions_app.policy.scope import TargetFacts


def place_of(target: TargetFacts) -> str:
    """Return the location of a target's objects. The target's name may later refer to another host."""
    return f"{target.account}@{target.address}:{target.port}"


@dataclass
class FakeConnector:
    """``left`` maps a location and a grant mark to the number of the grant's objects there.

    Targets in ``down`` do not respond. A revoke removes nothing from targets in ``stubborn``. Targets in
    ``broken`` permanently refuse to create anything. ``tampered`` contains the marks whose objects someone
    changed. ``after`` is called after an object or a credential is created and before the call returns, and
    can raise.
    """

    kind: str = "fake"
    left: dict[tuple[str, str], int] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    stubborn: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    tampered: set[str] = field(default_factory=set)
    after: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        self._reach(spec.place.target, "provision")
        if spec.place.target.name in self.broken:
            raise ConnectorError(f"{spec.place.target.name} refuses all changes.", permanent=True)
        with self._lock:
            self.left[place_of(spec.place.target), spec.mark] = 1
            self.tampered.discard(spec.mark)
        self.after()
        return LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place, made={"things": 1})

    def revoke(self, lease: LeaseSpec) -> Evidence:
        target = lease.place.target
        self._reach(target, "revoke")
        if target.name not in self.stubborn:
            with self._lock:
                self.left.pop((place_of(target), lease.mark), None)
        return self.verify(lease)

    def verify(self, lease: LeaseSpec) -> Evidence:
        self._reach(lease.place.target, "verify")
        left = self.left.get((place_of(lease.place.target), lease.mark), 0)
        return Evidence(gone=left == 0, detail={"left": left})

    def observe(self, place: TargetSpec) -> list[Observed]:
        self._reach(place.target, "observe")
        return [
            Observed(mark=mark, intact=mark not in self.tampered, detail=f"{count} things")
            for (where, mark), count in list(self.left.items())
            if where == place_of(place.target)
        ]

    def issue(self, spec: GrantSpec, lease: LeaseSpec) -> Credential:
        self._reach(lease.place.target, "issue")
        self.after()
        return Credential(
            fields={"password": f"key-to-{spec.grant_ref}"},
            secret=frozenset({"password"}),
            command="use it",
            expires_at=spec.expires_at,
        )

    def check(self, place: TargetSpec) -> list[CheckStep]:
        up = place.target.name not in self.down
        said, fix = ("it answers", "") if up else ("the target does not respond", "Start it.")
        return [CheckStep("reachable", up, said, fix)]

    def _reach(self, target: TargetFacts, call: str) -> None:
        self.calls.append(f"{call} {target.name}")
        if target.name in self.down:
            raise ConnectorError(f"{target.name} does not respond.")

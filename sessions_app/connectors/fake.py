"""A connector that keeps its targets in memory, for the contract that all connectors are held to."""

from __future__ import annotations

from dataclasses import dataclass, field

from sessions_app.connectors.base import CheckStep, ConnectorError, Evidence, GrantSpec, LeaseSpec
from sessions_app.policy.scope import TargetFacts


def place_of(target: TargetFacts) -> str:
    """Return where something is left on a target. Its name may mean another host tomorrow."""
    return f"{target.account}@{target.address}:{target.port}"


@dataclass
class FakeConnector:
    """``left`` maps a place and a grant's token to how many things of the grant are there.

    A target in ``down`` answers nothing; what ``stubborn`` names is not removed by a revoke.
    """

    kind: str = "fake"
    left: dict[tuple[str, str], int] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    stubborn: set[str] = field(default_factory=set)

    def provision(self, spec: GrantSpec) -> list[LeaseSpec]:
        leases = []
        for target in spec.targets:
            self._reach(target)
            self.left[place_of(target), spec.token] = 1
            leases.append(
                LeaseSpec(grant_ref=spec.grant_ref, token=spec.token, host_ca=spec.host_ca, target=target)
            )
        return leases

    def revoke(self, lease: LeaseSpec) -> Evidence:
        self._reach(lease.target)
        if lease.target.name not in self.stubborn:
            self.left.pop((place_of(lease.target), lease.token), None)
        return self.observe(lease)

    def observe(self, lease: LeaseSpec) -> Evidence:
        self._reach(lease.target)
        left = self.left.get((place_of(lease.target), lease.token), 0)
        return Evidence(gone=left == 0, detail={"left": left})

    def check(self, *, target: TargetFacts, host_ca: str) -> list[CheckStep]:
        del host_ca
        up = target.name not in self.down
        return [
            CheckStep(
                "reachable", up, "it answers" if up else "it does not answer", "" if up else "Start it."
            )
        ]

    def _reach(self, target: TargetFacts) -> None:
        if target.name in self.down:
            raise ConnectorError(f"{target.name} does not answer.")

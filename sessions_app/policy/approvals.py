"""Counting verdicts: pure, so that it can be counted again at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sessions_app.policy.policies import Clause


class Standing(StrEnum):
    """Where the verdicts leave a request."""

    APPROVED = "approved"
    DENIED = "denied"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class CountedVerdict:
    """One verdict with what is known of its giver now. ``counts`` is false for those who may not decide this one."""

    approver_id: int
    groups: frozenset[str]
    approve: bool
    digest: str
    counts: bool


@dataclass(frozen=True, slots=True)
class Resolution:
    """The standing and, per clause, how many approvals are still missing."""

    standing: Standing
    missing: tuple[int, ...]


def resolve(*, clauses: Sequence[Clause], verdicts: Sequence[CountedVerdict], digest: str) -> Resolution:
    """Count the verdicts on exactly this digest. Deny wins; one person's approval counts in one clause only."""
    counted = [verdict for verdict in verdicts if verdict.counts and verdict.digest == digest]
    missing = _missing(clauses, [verdict for verdict in counted if verdict.approve])
    if any(not verdict.approve for verdict in counted):
        return Resolution(Standing.DENIED, missing)
    return Resolution(Standing.PENDING if any(missing) else Standing.APPROVED, missing)


def _missing(clauses: Sequence[Clause], approvals: Sequence[CountedVerdict]) -> tuple[int, ...]:
    """Return what each clause lacks when people are spread over the clauses as well as possible (bipartite matching)."""
    seats = [index for index, clause in enumerate(clauses) for _ in range(clause.count)]
    taken: dict[int, int] = {}

    def seat(person: int, tried: set[int]) -> bool:
        for number, clause in enumerate(seats):
            if number in tried or not approvals[person].groups.intersection(clauses[clause].groups):
                continue
            tried.add(number)
            if number not in taken or seat(taken[number], tried):
                taken[number] = person
                return True
        return False

    for person in range(len(approvals)):
        seat(person, set())
    filled = [seats[number] for number in taken]
    return tuple(clause.count - filled.count(index) for index, clause in enumerate(clauses))

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
    """One verdict with what is known of its giver now. ``person`` is one for all accounts of a person, ``counts`` false for
    those who may not decide this one.
    """

    person: str
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
    people: dict[str, frozenset[str]] = {}
    for verdict in counted:
        if verdict.approve:
            people[verdict.person] = people.get(verdict.person, frozenset()) | verdict.groups
    missing = lacking(clauses, list(people.values()))
    if any(not verdict.approve for verdict in counted):
        return Resolution(Standing.DENIED, missing)
    return Resolution(Standing.PENDING if any(missing) else Standing.APPROVED, missing)


def lacking(clauses: Sequence[Clause], people: Sequence[frozenset[str]]) -> tuple[int, ...]:
    """Return how many people each clause lacks when these, each given by their groups, are spread over the clauses as well as
    possible (bipartite matching).
    """
    seats = [index for index, clause in enumerate(clauses) for _ in range(clause.count)]
    taken: dict[int, int] = {}

    def seat(person: int, tried: set[int]) -> bool:
        for number, clause in enumerate(seats):
            if number in tried or people[person].isdisjoint(clauses[clause].groups):
                continue
            tried.add(number)
            if number not in taken or seat(taken[number], tried):
                taken[number] = person
                return True
        return False

    for person in range(len(people)):
        if len(taken) < len(seats):
            seat(person, set())
    filled = [seats[number] for number in taken]
    return tuple(clause.count - filled.count(index) for index, clause in enumerate(clauses))


def short_of(clauses: Sequence[Clause], people: Sequence[frozenset[str]], one: str, many: str) -> str:
    """Return what is missing where these people, given by their groups, can't meet the clauses, which need a different person
    for each approval: `2 of leads, and only 1 person is there`. Empty when they can. ``one`` and ``many`` are what people are called.
    """
    if not any(lacking(clauses, people)):
        return ""
    for clause in clauses:
        there = sum(not groups.isdisjoint(clause.groups) for groups in people)
        if there < clause.count:
            return f"{_wanted(clause)}, and only {there} {f'{one} is' if there == 1 else f'{many} are'} there"
    return (
        f"{' and '.join(map(_wanted, clauses))}, each by a different person, and there are not enough {many}"
    )


def _wanted(clause: Clause) -> str:
    return f"{clause.count} of {' or '.join(clause.groups)}"

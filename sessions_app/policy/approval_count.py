"""Count verdicts. The functions are pure, so a count can be repeated at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sessions_app.policy.policies import Clause


class Standing(StrEnum):
    """The state of a request according to its verdicts."""

    APPROVED = "approved"
    DENIED = "denied"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class CountedVerdict:
    """One verdict, with the current facts about its author.

    ``person`` is the same for all accounts of a person. ``counts`` is false for people who can't decide this
    request.
    """

    person: str
    groups: frozenset[str]
    approve: bool
    digest: str
    counts: bool


@dataclass(frozen=True, slots=True)
class Resolution:
    """The state of a request, and the number of missing approvals for each clause."""

    standing: Standing
    missing: tuple[int, ...]


def resolve(*, clauses: Sequence[Clause], verdicts: Sequence[CountedVerdict], digest: str) -> Resolution:
    """Count the verdicts on exactly this digest.

    A denial takes precedence. Each person's approval counts for only one clause.
    """
    counted = [verdict for verdict in verdicts if verdict.counts and verdict.digest == digest]
    people: dict[str, frozenset[str]] = {}
    for verdict in counted:
        if verdict.approve:
            people[verdict.person] = people.get(verdict.person, frozenset()) | verdict.groups
    missing = lacking(clauses, list(people.values()))
    if any(not verdict.approve for verdict in counted):
        return Resolution(Standing.DENIED, missing)
    return Resolution(Standing.PENDING if any(missing) else Standing.APPROVED, missing)


def _shares(groups: frozenset[str], clause: frozenset[str]) -> bool:
    return not groups.isdisjoint(clause)


def lacking(
    clauses: Sequence[Clause],
    people: Sequence[frozenset[str]],
    fits: Callable[[frozenset[str], frozenset[str]], bool] = _shares,
) -> tuple[int, ...]:
    """Return how many people each clause lacks under the best assignment of ``people`` (bipartite matching).

    Each person is represented by their groups. ``fits`` returns whether someone in these groups counts for a
    clause with those groups.
    """
    wanted = [frozenset(clause.groups) for clause in clauses]
    seats = [index for index, clause in enumerate(clauses) for _ in range(clause.count)]
    taken: dict[int, int] = {}

    def seat(person: int, tried: set[int]) -> bool:
        for number, clause in enumerate(seats):
            if number in tried or not fits(people[person], wanted[clause]):
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


def at_least(after: Sequence[Clause], before: Sequence[Clause]) -> bool:
    """Whether all people who meet the clauses ``after`` also meet the clauses ``before``, with a different
    person for each approval.
    """
    people = [frozenset(clause.groups) for clause in after for _ in range(clause.count)]
    return not any(lacking(before, people, frozenset.issubset))


def short_of(clauses: Sequence[Clause], people: Sequence[frozenset[str]], one: str, many: str) -> str:
    """Return what is missing for these people to meet the clauses; empty if they can.

    Each approval needs a different person. ``people`` are represented by their groups. ``one`` and ``many``
    are the nouns for them. Example: `2 approvals from leads, but only 1 person is available`.
    """
    if not any(lacking(clauses, people)):
        return ""
    for clause in clauses:
        there = sum(not groups.isdisjoint(clause.groups) for groups in people)
        if there < clause.count:
            return (
                f"{_wanted(clause)}, but only {there} {f'{one} is' if there == 1 else f'{many} are'}"
                " available"
            )
    return (
        f"{' and '.join(map(_wanted, clauses))}, each from a different person, but not enough {many} are "
        "available"
    )


def _wanted(clause: Clause) -> str:
    return f"{clause.count} approval{'s' if clause.count != 1 else ''} from {' or '.join(clause.groups)}"

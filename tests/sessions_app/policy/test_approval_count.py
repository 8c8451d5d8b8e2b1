"""Counting verdicts, against counting in every way there is."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.approval_count import CountedVerdict, Standing, resolve
from sessions_app.policy.policies import Clause

DIGEST = "d" * 64
GROUPS = ["dba", "ops", "security"]
CLAUSES = st.lists(
    st.builds(
        Clause,
        count=st.integers(1, 3),
        groups=st.lists(st.sampled_from(GROUPS), min_size=1, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=3,
)
PEOPLE = st.lists(st.frozensets(st.sampled_from(GROUPS)), max_size=5)


def verdict(person: int, *groups: str, approve=True, digest=DIGEST, counts=True) -> CountedVerdict:
    return CountedVerdict(
        person=str(person), groups=frozenset(groups), approve=approve, digest=digest, counts=counts
    )


def clause(count: int, *groups: str) -> Clause:
    return Clause(count=count, groups=groups)


def standing(clauses, *verdicts) -> Standing:
    return resolve(clauses=clauses, verdicts=verdicts, digest=DIGEST).standing


def enough(clauses, people) -> bool:
    """Try every way to give each person one seat."""
    seats = [clause for clause in clauses for _ in range(clause.count)]
    return any(
        all(groups.intersection(seat.groups) for seat, groups in zip(seats, chosen, strict=True))
        for chosen in itertools.permutations(people, len(seats))
    )


@given(CLAUSES, PEOPLE)
def test_the_count_agrees_with_trying_every_way_to_seat_people(clauses, people):
    given_ = [verdict(number, *groups) for number, groups in enumerate(people)]
    result = resolve(clauses=clauses, verdicts=given_, digest=DIGEST)
    assert (result.standing is Standing.APPROVED) == enough(clauses, people)
    assert (sum(result.missing) == 0) == enough(clauses, people)
    assert all(0 <= missing <= clause.count for missing, clause in zip(result.missing, clauses, strict=True))


@given(CLAUSES, PEOPLE, st.permutations(range(5)))
def test_the_order_of_verdicts_makes_no_difference(clauses, people, order):
    given_ = [verdict(number, *groups) for number, groups in enumerate(people)]
    shuffled = [given_[index] for index in order if index < len(given_)]
    assert standing(clauses, *given_) == standing(clauses, *shuffled)


@given(CLAUSES, PEOPLE)
def test_one_no_that_counts_denies_however_many_approve(clauses, people):
    given_ = [verdict(number, *groups) for number, groups in enumerate(people)]
    assert standing(clauses, *given_, verdict(99, "ops", approve=False)) is Standing.DENIED


@given(CLAUSES, PEOPLE)
def test_verdicts_that_do_not_count_change_nothing(clauses, people):
    given_ = [verdict(number, *groups) for number, groups in enumerate(people)]
    noise = [
        verdict(90, *GROUPS, counts=False),
        verdict(91, *GROUPS, digest="e" * 64),
        verdict(92, "strangers"),
        verdict(93, *GROUPS, approve=False, counts=False),
        verdict(94, *GROUPS, approve=False, digest="e" * 64),
    ]
    assert standing(clauses, *given_) == standing(clauses, *noise, *given_)


def test_one_person_in_two_groups_fills_one_clause_only():
    both = [clause(1, "dba"), clause(1, "ops")]
    assert standing(both, verdict(1, "dba", "ops")) is Standing.PENDING
    assert standing(both, verdict(1, "dba", "ops"), verdict(2, "dba")) is Standing.APPROVED


def test_two_accounts_of_one_person_are_one_approval():
    assert standing([clause(2, "ops")], verdict(1, "ops"), verdict(1, "ops")) is Standing.PENDING
    assert standing([clause(2, "ops")], verdict(1, "ops"), verdict(2, "ops")) is Standing.APPROVED
    both = [clause(1, "dba"), clause(1, "ops")]
    assert standing(both, verdict(1, "dba"), verdict(1, "ops")) is Standing.PENDING


def test_what_is_missing_is_told_for_each_clause():
    result = resolve(
        clauses=[clause(2, "dba"), clause(1, "ops")], verdicts=[verdict(1, "dba")], digest=DIGEST
    )
    assert result.missing == (1, 1)


def test_an_approval_of_another_scope_is_none():
    assert standing([clause(1, "ops")], verdict(1, "ops", digest="0" * 64)) is Standing.PENDING

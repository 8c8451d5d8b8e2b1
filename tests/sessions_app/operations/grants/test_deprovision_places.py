"""Whose targets can be asked next, while others fail or hang."""

import datetime as dt

import pytest

from sessions_app.models import Grant, GrantState, Lease
from sessions_app.operations.grants.deprovision_grant import CLAIM, PLACES, PLACES_AT_HOST, PLACES_IN_DOUBT
from sessions_app.queries.grants.current import to_revoke_now
from sessions_app.queries.grants.revocation import clusters_to_revoke
from tests.sessions_app.operations.grants.test_deprovision_grant import end, used_grant
from tests.support.world.acts import after, undo


@pytest.fixture
def ending(world, fake_targets):
    """Returns a grant that is ending and whose lease is at a port of its own, with changes to the lease."""

    def one(port: int = 1, **lease) -> Grant:
        grant = end(world, used_grant(world, "web-1"))
        Lease.objects.filter(grant=grant).update(port=port, **lease)
        return grant

    return one


@pytest.fixture
def moment(world):
    return after(world, minutes=1)


@pytest.fixture
def asking(ending, moment):
    """Returns a grant whose host is being asked since some seconds ago."""

    def one(port: int = 1, *, seconds: float = 0, **lease) -> Grant:
        grant = ending(port, asked_at=moment - dt.timedelta(seconds=seconds), **lease)
        Grant.objects.filter(pk=grant.pk).update(next_attempt_at=moment + CLAIM)
        return grant

    return one


def ago(moment: dt.datetime, seconds: float) -> dt.datetime:
    return moment - dt.timedelta(seconds=seconds)


def is_asked(grant: Grant, moment: dt.datetime) -> bool:
    return undo(grant, now=moment).state == GrantState.ENDED


def test_an_answer_ends_the_doubt_about_its_host_although_another_lease_there_has_failed(
    world, ending, asking, fake_targets, moment
):
    failing, answered, due = ending(), ending(), ending()
    fake_targets.down = {"web-1"}
    undo(failing, now=ago(moment, 30))
    fake_targets.down = set()
    asking()
    assert not is_asked(due, ago(moment, 25)), "it is asked by one"
    Grant.objects.filter(pk=answered.pk).update(next_attempt_at=ago(moment, 1))
    Lease.objects.exclude(grant=failing).update(asked_at=None)
    assert is_asked(answered, ago(moment, 1))
    asking()
    assert is_asked(due, moment)
    assert Lease.objects.get(grant=failing).last_error


@pytest.mark.parametrize(("answered", "asked"), [(9, False), (3, True)])
def test_a_silent_ask_makes_no_doubt_once_the_host_has_answered_another(
    ending, asking, moment, answered, asked
):
    ending(gone_at=moment, answered_at=ago(moment, answered))
    asking(seconds=4)
    assert is_asked(ending(), moment) is asked


def test_a_failure_after_the_last_answer_makes_doubt_again(ending, asking, moment):
    ending(answered_at=ago(moment, 9), failed_at=ago(moment, 8))
    asking()
    assert not is_asked(ending(), moment)


@pytest.mark.parametrize("due", [True, False])
def test_at_a_host_in_doubt_a_retry_and_an_end_that_is_due_do_not_wait_for_each_other(
    ending, asking, moment, due
):
    first, second = {"failed_at": ago(moment, 9)}, {}
    asking(**(first if due else second))
    ending(**first)
    waiting = ending(**(second if due else first))
    assert is_asked(waiting, moment)


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("most", [PLACES, PLACES_IN_DOUBT])
def test_a_cluster_gives_retries_and_ends_that_are_due_a_number_of_places_each(
    ending, asking, moment, most, failed
):
    doubtful = most == PLACES_IN_DOUBT
    news = {"failed_at": ago(moment, 9)} if doubtful else {"gone_at": moment, "answered_at": ago(moment, 8)}
    lease = {"failed_at": ago(moment, 9)} if failed else {}
    ports = range((most + 1) // 2 + 1 if failed else most + 1)
    for port in ports:
        ending(port, **news)
    for port in ports[1:]:
        asking(port, seconds=1, **lease)
    beside = ending(0, **lease)
    assert not is_asked(beside, moment)
    Lease.objects.filter(asked_at__isnull=False, port=1).update(asked_at=None)
    Grant.objects.filter(pk=beside.pk).update(next_attempt_at=moment)
    assert is_asked(beside, moment)


def test_retries_take_no_more_than_half_of_the_places_at_a_host(ending, asking, moment):
    ending(gone_at=moment, answered_at=ago(moment, 1))
    for _ in range((PLACES_AT_HOST + 1) // 2):
        asking(failed_at=ago(moment, 9))
    assert not is_asked(ending(failed_at=ago(moment, 9)), moment)
    assert is_asked(ending(), moment)


def test_the_first_in_line_waits_250_ms_for_a_place_and_those_behind_it_a_second_at_most(
    ending, asking, moment
):
    asking(seconds=4)
    line = [ending() for _ in range(30)]
    for number, grant in enumerate(line):
        Grant.objects.filter(pk=grant.pk).update(revoking_at=ago(moment, 30 - number))
    waits = [(undo(grant, now=moment).next_attempt_at - moment).total_seconds() for grant in line]
    assert waits == [0.25] * 8 + [0.5] * 8 + [0.75] * 8 + [1.0] * 6


def test_what_is_due_goes_before_retries_of_which_each_fifth_has_its_turn(ending, moment):
    retries = [ending(failed_at=ago(moment, 9)).pk for _ in range(2)]
    due = [ending().pk for _ in range(9)]
    Grant.objects.filter(pk__in=due).update(next_attempt_at=moment)
    expected = (*due[:4], retries[0], *due[4:8], retries[1], due[8])
    assert to_revoke_now(moment) == expected
    assert tuple(clusters_to_revoke(expected, moment)) == expected


def test_a_claimed_grant_is_left_to_its_process_until_the_claim_expires(ending, moment):
    grant = ending()
    Grant.objects.filter(pk=grant.pk).update(next_attempt_at=moment + CLAIM)
    assert not clusters_to_revoke([grant.pk], moment)
    assert clusters_to_revoke([grant.pk], moment + CLAIM) == {grant.pk: grant.cluster_id}

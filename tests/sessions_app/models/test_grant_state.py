"""The state of a grant, as its row has it and as a waiting end makes it."""

from itertools import combinations

import pytest
from django.core.exceptions import FieldError
from django.db import DatabaseError
from django.db.models import Count

from sessions_app.models import CommandRun, EndIntent, EndReason, Grant, GrantState
from sessions_app.operations.grants.end_grant import end_grant
from tests.support.world.acts import after, run, session, use


@pytest.fixture
def grants(world):
    """One that is over, one that is ending, and of those before the end one with a waiting end and one
    without.
    """
    for start in (False, True):
        waits, ends = world.grant(start=start), world.grant(start=start)
        EndIntent.objects.create(grant=waits, at=world.now, reason=EndReason.REVOKED, cut=True)
        end_grant(grant_id=ends.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    world.grant()


SUBSETS = [chosen for size in range(1, 6) for chosen in combinations(GrantState.values, size)]


@pytest.mark.usefixtures("grants")
def test_it_is_filtered_as_it_is_read():
    read = {grant.pk: grant.state for grant in Grant.objects.all()}
    assert sorted(read.values()) == ["active", "ended", *["revoking"] * 3]
    for chosen in SUBSETS:
        wanted = {pk for pk, state in read.items() if state in chosen}
        assert set(Grant.objects.filter(state__in=chosen).values_list("pk", flat=True)) == wanted, chosen
        others = Grant.objects.exclude(state__in=chosen).values_list("pk", flat=True)
        assert set(others) == read.keys() - wanted, chosen
    for state in GrantState:
        assert Grant.objects.filter(state=state).count() == list(read.values()).count(state)
    counted = Grant.objects.order_by().values_list("state").annotate(count=Count("pk"))
    assert dict(counted) == {"active": 1, "ended": 1, "revoking": 3}


def test_it_is_the_same_through_other_rows(world):
    grant = world.grant()
    used = use(grant, now=world.now)
    run(used, session(used, now=world.now), now=world.now)
    EndIntent.objects.create(grant=grant, at=after(world, seconds=1), reason=EndReason.REVOKED, cut=True)
    (found,) = CommandRun.objects.filter(grant__state="revoking").select_related("grant")
    assert (found.grant.state, found.grant.revoking_at) == ("revoking", after(world, seconds=1))
    assert not CommandRun.objects.filter(grant__state="active").exists()


def test_it_is_compared_with_states_alone(world):
    for wanted in ({"state__startswith": "act"}, {"state__in": Grant.objects.values("state")}):
        with pytest.raises(FieldError):
            list(Grant.objects.filter(**wanted))


def test_an_end_that_was_intended_stays_so(world):
    intent = EndIntent.objects.create(grant=world.grant(), at=world.now, reason=EndReason.REVOKED, cut=True)
    with pytest.raises(DatabaseError, match="stays so"):
        EndIntent.objects.filter(pk=intent.pk).update(note="other")

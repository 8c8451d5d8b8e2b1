"""The one way that a state moves."""

import pytest
from django.db import IntegrityError, transaction

from broker.audit.record import NotInTransaction
from broker.audit.standing import RecordContradicted, write_standing
from sessions_app.models import Grant, GrantState
from sessions_app.operations.grants.transition import StaleGrant, transition
from tests.support.world.acts import events, fresh, last
from tests.support.world.world import SETUP


def test_a_move_is_one_row_and_one_entry_with_where_it_came_from(world):
    grant = world.grant(start=False)
    moved = transition(
        grant=grant, to=GrantState.PROVISIONING, actor=SETUP, now=world.now, data={"by": "test"}
    )
    assert (moved.state, moved.version) == (GrantState.PROVISIONING, 2)
    assert last("grant.provisioning", grant.ref).data == {"from": "scheduled", "by": "test"}


def test_a_stale_write_is_refused_and_not_recorded(world):
    grant = world.grant(start=False)
    stale = Grant.objects.get(pk=grant.pk)
    transition(grant=grant, to=GrantState.PROVISIONING, actor=SETUP, now=world.now)
    for to in (GrantState.PROVISIONING, GrantState.REVOKING, GrantState.ENDED):
        with pytest.raises(StaleGrant):
            transition(grant=stale, to=to, actor=SETUP, now=world.now)
    assert events(grant.ref) == ["grant.scheduled", "grant.provisioning"]


def test_while_the_record_contradicts_its_checkpoints_nothing_starts_and_ends_go_on(world):
    grant = world.grant(start=False)
    write_standing("An older backup was restored.")
    with pytest.raises(RecordContradicted):
        transition(grant=grant, to=GrantState.PROVISIONING, actor=SETUP, now=world.now)
    assert fresh(grant).state == GrantState.SCHEDULED
    transition(grant=grant, to=GrantState.REVOKING, actor=SETUP, now=world.now, end_reason="revoked")


def test_a_version_that_moved_on_is_stale_also_in_the_same_state(world):
    grant = world.grant()
    stale = Grant.objects.get(pk=grant.pk)
    Grant.objects.filter(pk=grant.pk).update(version=9)
    with pytest.raises(StaleGrant):
        transition(grant=stale, to=GrantState.REVOKING, actor=SETUP, now=world.now, end_reason="revoked")


def test_a_forbidden_step_is_refused_by_the_database(world):
    grant = world.grant(start=False)
    with pytest.raises(IntegrityError), transaction.atomic():
        transition(grant=grant, to=GrantState.ACTIVE, actor=SETUP, now=world.now)
    assert fresh(grant).state == GrantState.SCHEDULED


def test_without_a_transaction_nothing_moves(live_world):
    grant = live_world.grant(start=False)
    with pytest.raises(NotInTransaction):
        transition(grant=grant, to=GrantState.PROVISIONING, actor=SETUP, now=live_world.now)

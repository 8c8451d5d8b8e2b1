"""A new secret for a source's webhooks."""

import pytest

from broker.audit.models import AuditEntry
from broker.kernel.crypto import CannotDecrypt
from broker.kernel.errors import NotFound
from sessions_app.models import WorkflowSource
from sessions_app.operations.workflows.receive_delivery import NotFromSource, receive_delivery
from sessions_app.operations.workflows.rotate_source_secret import rotate_source_secret
from sessions_app.operations.workflows.workflow_sources import secrets_of
from tests.support.servers.outside import signed_by_standard
from tests.support.world.acts import Started, change, last, wait_for_waiters
from tests.support.world.sources import DESK, delivery

BEFORE = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def desk(world):
    change(world, {"workflow-sources/desk.yaml": DESK})


def rotate(world, who=None, *, now=None) -> str:
    return rotate_source_secret(name="desk", actor=who or world.admin, now=now or world.now)


def is_proven_by(world, secret, number) -> bool:
    body = delivery("T-1", type="ticket.closed")
    sent = signed_by_standard(secret, body, int(world.now.timestamp()), f"msg_{number}")
    try:
        receive_delivery(source="desk", headers=sent, body=body, now=world.now)
    except NotFromSource:
        return False
    return True


def test_the_one_before_is_good_until_the_next_rotation(world, desk):
    first = rotate(world)
    assert [is_proven_by(world, one, n) for n, one in enumerate((BEFORE, first))] == [True, True]
    second = rotate(world)
    assert [is_proven_by(world, one, n) for n, one in enumerate((BEFORE, first, second), 2)] == [
        False,
        True,
        True,
    ]


def test_it_is_recorded_without_any_secret_and_kept_sealed(world, desk):
    secret = rotate(world)
    assert last("source.secret_rotated", "desk").actor == "admin"
    kept = bytes(WorkflowSource.objects.get().sealed)
    for one in (secret, BEFORE):
        assert not AuditEntry.objects.filter(body__contains=one).exists()
        assert one.encode() not in kept


def test_administrators_alone_may_and_to_all_others_it_is_not_there(world, desk):
    for other in (world.alice, world.bob, world.robot):
        with pytest.raises(NotFound, match="Workflow source not found"):
            rotate(world, other)
    WorkflowSource.objects.update(removed_at=world.now)
    with pytest.raises(NotFound):
        rotate(world)
    assert not AuditEntry.objects.filter(event="source.secret_rotated").exists()


def test_what_can_not_be_read_any_more_is_not_overwritten(world, desk, settings):
    before = bytes(WorkflowSource.objects.get().sealed)
    settings.SECRET_KEY = "another-key-than-that-under-which-it-was-stored"
    with pytest.raises(CannotDecrypt, match="STINT_SECRET_KEY"):
        rotate(world)
    assert bytes(WorkflowSource.objects.get().sealed) == before


def test_of_two_at_once_both_are_good(live_world, owner_connection):
    change(live_world, {"workflow-sources/desk.yaml": DESK})
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM sessions_app_workflowsource FOR UPDATE")
        rotating = [Started(lambda: rotate(live_world)) for _ in range(2)]
        wait_for_waiters(owner_connection, 2)
    made = {one.result() for one in rotating}
    assert set(secrets_of(WorkflowSource.objects.get()).webhook) == made


def test_while_it_waits_for_the_record_deliveries_are_still_taken(live_world, owner_connection):
    change(live_world, {"workflow-sources/desk.yaml": DESK})
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        rotating = Started(lambda: rotate(live_world))
        wait_for_waiters(owner_connection, 1)
        assert Started(lambda: is_proven_by(live_world, BEFORE, 1)).result() is True
    assert rotating.result().startswith("whsec_")

"""A transaction that has written without approval suspends its grant."""

from broker.audit.models import AuditEntry
from sessions_app.models import Grant, Notice
from sessions_app.operations.grants.release_grant import release_grant
from sessions_app.operations.sessions.suspend_unapproved_write import suspend_unapproved_write
from sessions_app.queries.grants.suspensions import suspension

NOTE = "a transaction on db-1 changed data, and no statement in it was allowed to"


def suspended(world) -> Grant:
    return suspend_unapproved_write(grant_id=world.grant().pk, target="db-1", now=world.now)


def test_it_is_recorded_and_approvers_and_administrators_are_notified_once(world):
    grant = suspended(world)
    entry = AuditEntry.objects.filter(event="grant.held", object_ref=grant.ref).get()
    assert (entry.actor, entry.data) == ("system:gateway", {"note": NOTE})
    notified = list(Notice.objects.filter(grant=grant, event="grant.held").values_list("identity", flat=True))
    assert {world.bob.pk, world.admin.pk} <= set(notified)
    assert grant.holder.pk not in notified
    assert len(notified) == len(set(notified))


def test_it_says_how_it_was_suspended_until_someone_else_resumes_it(world):
    grant = suspended(world)
    assert suspension(grant) == f"was suspended by Stint: {NOTE}"
    assert release_grant(grant_id=grant.pk, actor=world.bob, now=world.now).held_at is None


def test_an_earlier_suspension_keeps_its_reason(world):
    grant = suspended(world)
    suspend_unapproved_write(grant_id=grant.pk, target="db-2", now=world.now)
    assert "db-1" in Grant.objects.get(pk=grant.pk).held_note
    assert AuditEntry.objects.filter(event="grant.held", object_ref=grant.ref).count() == 2

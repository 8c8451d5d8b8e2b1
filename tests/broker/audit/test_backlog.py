"""Entries about ends wait for a record that refuses, and are appended in their order."""

import datetime as dt

import pytest
from django.db import DatabaseError, transaction

from broker.audit.actor import Actor
from broker.audit.backlog import catch_up, record_end, record_ends
from broker.audit.events import Event
from broker.audit.models import AuditBacklog, AuditEntry
from broker.audit.record import NotInTransaction
from broker.kernel import clock

WHO = Actor(name="bob", id=7, kind="person")


def end(ref: str, now: dt.datetime, **data) -> None:
    with transaction.atomic():
        record_end(
            event=Event.GRANT_ENDED, actor=WHO, object_type="grant", object_ref=ref, data=data, now=now
        )


def test_while_the_record_takes_entries_nothing_is_kept_aside(stint_db):
    end("GR-ONE", clock.now())
    assert AuditEntry.objects.get(object_ref="GR-ONE").actor == "bob"
    assert not AuditBacklog.objects.exists()


def test_what_was_kept_aside_is_appended_once_in_order_with_its_own_time(stint_db, owner_connection):
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_at_commit FROM stint_app")
    now = clock.now()
    for number in range(3):
        end(f"GR-{number}", now + dt.timedelta(seconds=number))
    assert AuditBacklog.objects.count() == 3
    owner_connection.execute("GRANT EXECUTE ON FUNCTION audit_append_at_commit TO stint_app")
    assert (catch_up(clock.now()), catch_up(clock.now())) == (3, 0)
    found = list(AuditEntry.objects.filter(event="grant.ended").order_by("seq"))
    assert [entry.object_ref for entry in found] == ["GR-0", "GR-1", "GR-2"]
    assert [entry.at for entry in found] == [now + dt.timedelta(seconds=number) for number in range(3)]
    assert {(entry.actor, entry.actor_id) for entry in found} == {("bob", 7)}


def test_many_ends_of_one_act_are_appended_together_or_kept_aside_together(stint_db, owner_connection):
    def ends(first: int) -> None:
        told = [(f"GR-{first + number}", {"reason": "over"}) for number in range(3)]
        with transaction.atomic():
            record_ends(
                event=Event.GRANT_REVOKING,
                actor=Actor.system("end"),
                object_type="grant",
                entries=told,
                now=clock.now(),
            )

    ends(0)
    for function in ("audit_append_at_commit", "audit_append_many"):
        owner_connection.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM stint_app")
    ends(3)
    assert [entry.object_ref for entry in AuditBacklog.objects.order_by("pk")] == ["GR-3", "GR-4", "GR-5"]
    for function in ("audit_append_at_commit", "audit_append_many"):
        owner_connection.execute(f"GRANT EXECUTE ON FUNCTION {function} TO stint_app")
    assert catch_up(clock.now()) == 3
    found = AuditEntry.objects.filter(event="grant.revoking").order_by("seq")
    assert [entry.object_ref for entry in found] == [f"GR-{number}" for number in range(6)]


def test_what_can_not_be_recorded_does_not_stop_an_end(stint_db):
    end("GR-ODD", clock.now(), note=float("nan"))
    assert "nan" in AuditEntry.objects.get(object_ref="GR-ODD").data["left_out"]


MARKER = "-----BEGIN PRIVATE KEY-----"


@pytest.mark.parametrize("note", [MARKER, "a\0b", "\udc80", float("nan"), "x" * 70_000, object()])
def test_what_is_kept_aside_can_be_appended_whatever_it_says(stint_db, owner_connection, note):
    owner_connection.execute(
        "REVOKE EXECUTE ON FUNCTION audit_append_at_commit, audit_append_many FROM stint_app"
    )
    now = clock.now()
    end("GR-1", now)
    end("GR-2", now, note=note)
    end(f"GR-{MARKER}\0" + "x" * 300, now)
    with transaction.atomic():
        record_ends(
            event=Event.GRANT_REVOKING,
            actor=Actor.system("end"),
            object_type="grant",
            now=now,
            entries=[("GR-4", {"note": note}), ("", {})],
        )
    kept = AuditBacklog.objects.order_by("pk")
    assert not [row for row in kept if MARKER in row.object_ref + str(row.data)]
    owner_connection.execute(
        "GRANT EXECUTE ON FUNCTION audit_append_at_commit, audit_append_many TO stint_app"
    )
    assert catch_up(clock.now()) == 5
    found = [entry.object_ref[:17] for entry in AuditEntry.objects.order_by("-seq")[:5]][::-1]
    assert found == ["GR-1", "GR-2", "GR-[private key, ", "GR-4", "?"]


def test_an_entry_that_can_not_be_one_is_told_and_holds_up_nothing_behind_it(stint_db):
    now = clock.now()
    common = {"at": now, "actor": "system:end", "object_type": "grant", "data": {}}
    for odd in (
        {"event": "grant.unheard_of", "data": {"line": f"rm -rf / {MARKER}"}},
        {"actor": "system:", "event": "grant.ended"},
        {"actor": "erin", "actor_id": 5, "actor_kind": "system", "event": "grant.ended"},
        {"event": "grant.ended", "data": {"a": 10**30}},
        {"event": "grant.ended", "object_type": ""},
    ):
        AuditBacklog.objects.create(**{**common, "object_ref": "GR-ODD", **odd})
        AuditBacklog.objects.create(**common, object_ref="GR-NEXT", event="grant.ended")
    assert catch_up(clock.now()) == 10
    assert not AuditBacklog.objects.exists()
    assert AuditEntry.objects.filter(object_ref="GR-NEXT").count() == 5
    told = AuditEntry.objects.filter(event="record.entry_replaced").order_by("seq")
    assert [entry.data["object_ref"] for entry in told] == ["GR-ODD"] * 5
    assert "grant.unheard_of" in told[0].data["why"]
    assert "rm -rf / [private key" in told[0].data["data"]


def test_while_the_record_still_refuses_nothing_is_taken_from_what_waits(stint_db, owner_connection):
    AuditBacklog.objects.create(
        at=clock.now(), actor="system:end", object_type="grant", object_ref="GR-ODD", event="none", data={}
    )
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_at_commit FROM stint_app")
    with pytest.raises(DatabaseError):
        catch_up(clock.now())
    assert AuditBacklog.objects.count() == 1


def test_outside_a_transaction_nothing_is_recorded_or_kept(stint_db):
    with pytest.raises(NotInTransaction):
        record_end(
            event=Event.GRANT_ENDED,
            actor=WHO,
            object_type="grant",
            object_ref="GR-X",
            data={},
            now=clock.now(),
        )
    assert not AuditBacklog.objects.exists()

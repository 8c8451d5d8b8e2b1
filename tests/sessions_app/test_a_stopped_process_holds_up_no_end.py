"""A process that was stopped in the middle of an act holds the record's head, or a grant; ends go on all the same."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time

import pytest
from django.db import connection

from broker.audit.models import AuditBacklog
from broker.kernel import clock
from sessions_app.models import EndReason, GrantState
from sessions_app.operations.disable_identity import disable_identity
from sessions_app.operations.end_grant import end_grant
from sessions_app.operations.sweep import sweep
from tests.support.acts import Started, after, events, intact, policy
from tests.support.gateway import ROOT, eventually


@pytest.fixture
def world(live_world):
    return live_world


def state(grant) -> str:
    grant.refresh_from_db()
    return grant.state


def test_a_revoke_begins_within_two_seconds_and_is_recorded_afterwards(world, owner_connection):
    grant = world.grant()
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        began = time.monotonic()
        end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now)
        assert time.monotonic() - began < 2
        assert state(grant) == GrantState.REVOKING
        assert "grant.revoking" not in events(grant.ref)
    sweep(now=lambda: after(world, seconds=9), name="test")
    assert events(grant.ref)[-1] == "grant.revoking"
    assert not AuditBacklog.objects.exists()
    assert intact()


def test_an_act_of_many_ends_waits_for_the_record_once(world, owner_connection, caplog):
    grants = [world.grant() for _ in range(6)]
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    refused = [entry.msg["cause"] for entry in caplog.records if entry.msg["event"] == "record.refuses"]
    assert len(refused) == len(grants) + 1
    assert ["lock timeout" in cause for cause in refused] == [True] + [False] * len(grants)
    assert {state(grant) for grant in grants} == {GrantState.REVOKING}
    sweep(now=lambda: after(world, seconds=9), name="test")
    assert all(events(grant.ref)[-1] == "grant.revoking" for grant in grants)
    assert intact()


def test_the_sweep_ends_what_is_due_and_goes_on_sweeping(world, owner_connection):
    first, second = world.grant(duration=600), world.grant(duration=605)
    pending, waiting = world.request(), world.grant(start=False)
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        for grant, late in ((first, after(world, seconds=600)), (second, after(world, seconds=605))):
            began = time.monotonic()
            report = sweep(now=lambda late=late: late, name="test")
            # The grant that is to start waits for the record, and so does what was kept aside.
            assert time.monotonic() - began < 5
            assert (report.ended, state(grant)) == (1, GrantState.REVOKING)
        assert state(waiting) == GrantState.SCHEDULED
    del pending
    sweep(now=lambda: after(world, seconds=700), name="test")
    assert all(events(grant.ref)[-1] == "grant.revoking" for grant in (first, second))
    assert intact()


def test_nobody_else_waits_less_long_for_a_lock_because_an_end_did(world):
    grant = world.grant()
    with connection.cursor() as cursor:
        from django.db import transaction

        with transaction.atomic():
            end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now)
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)
        world.grant(start=False)
        sweep(now=lambda: world.now, name="test")
        sweep(now=lambda: after(world, hours=2), name="test")
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


STOPPED = """
import django; django.setup()
import os, signal
from django.db import connection, transaction
with transaction.atomic():
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM sessions_app_grant FOR UPDATE")
    print("holding", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_that_was_stopped_in_a_transaction_is_cut_loose(world, stint_db):
    grant = world.grant()
    env = {**stint_db.env, "DJANGO_SETTINGS_MODULE": "broker.settings"}
    process = subprocess.Popen([sys.executable, "-c", STOPPED], cwd=ROOT, env=env, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"holding\n"
        began = time.monotonic()
        ending = Started(
            lambda: end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
        )
        eventually(lambda: state(grant) == GrantState.REVOKING, within=20, every=0.2)
        assert time.monotonic() - began < 18
        ending.result()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_a_plan_locks_nothing_that_others_need(world, owner_connection):
    """Whoever holds a grant, the catalogue and the record does not hold a plan up, so it waits for none of them."""
    grant = world.grant()
    files = {**policy(world, requesters={"groups": ["nobody-yet"]}), "groups/x.yaml": "name: nobody-yet\n"}
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        owner_connection.execute("SELECT FROM sessions_app_grant FOR UPDATE")
        owner_connection.execute("SELECT pg_advisory_xact_lock(7400100)")
        began = time.monotonic()
        plan = world.apply(files, plan_only=True)
        assert time.monotonic() - began < 5
    assert [change.ends for change in plan.changes if change.name == "web-work"] == [(grant.ref,)]
    assert state(grant) == GrantState.ACTIVE
    assert plan == world.apply(files, plan_only=True)
    assert [change.ends for change in world.apply(files).changes if change.name == "web-work"] == [
        (grant.ref,)
    ]
    assert state(grant) == GrantState.REVOKING
    assert intact()


def test_a_mail_server_that_hangs_is_waited_for_in_no_transaction(world, settings):
    import socket

    from sessions_app.models import Notice
    from sessions_app.operations.send_notice import send_notice

    world.request()
    notice = Notice.objects.get(identity=world.bob)
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = hole.getsockname()
        settings.EMAIL_TIMEOUT = 2
        sending = Started(lambda: send_notice(notice_id=notice.pk, now=world.now))
        accepted, _ = hole.accept()
        Notice.objects.filter(pk=notice.pk).update(subject="Not locked")
        notice.refresh_from_db()
        assert notice.next_attempt_at > world.now + dt.timedelta(minutes=1), "no other worker may send it too"
        sending.result()
        accepted.close()
    notice.refresh_from_db()
    assert (notice.subject, notice.mailed_at, notice.attempts) == ("Not locked", None, 1)
    assert notice.next_attempt_at == after(world, seconds=60)

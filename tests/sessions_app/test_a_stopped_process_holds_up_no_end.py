"""A process that was stopped in the middle of an act holds the record's head, or a grant; ends go on all the
same.
"""

import datetime as dt
import math
import time
from collections.abc import Iterator

import psycopg
import pytest

from broker.audit.models import AuditBacklog
from broker.kernel import clock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.sweeper import Sweeper
from sessions_app.models import EndReason, GatewayNode, GrantState, Notice, Observation, Session
from sessions_app.models import Sweeper as SweeperRow
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.identities.disable_identity import disable_identity
from sessions_app.operations.notifications.send_notices import send_notices
from sessions_app.operations.sweep.sweep import end_baseless, sweep
from sessions_app.operations.targets.reconcile_all import SILENT, reconcile_all
from tests.support.pace import allow
from tests.support.waits import eventually
from tests.support.world.acts import Started, after, events, fresh, intact, policy, session, use

pytestmark = pytest.mark.timing


@pytest.fixture
def world(live_world):
    return live_world


@pytest.fixture
def sweeper(stint_db, world) -> Iterator[Sweeper]:
    """That of a gateway, which is not started yet."""
    made = Sweeper("test", Database(threads=1, name="test"))
    yield made
    made.stop()
    # The threads' connections would keep the database from being dropped.
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(stint_db.env["DATABASE_URL"], autocommit=True) as opened:
        opened.execute(f"SELECT pg_terminate_backend(pid) {others}")


def state(grant) -> str:
    grant.refresh_from_db()
    return grant.state


def test_a_revoke_begins_within_two_seconds_and_is_recorded_afterwards(world, owner_connection):
    grant = world.grant()
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        began = time.monotonic()
        end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now)
        assert time.monotonic() - began < allow(2)
        assert state(grant) == GrantState.REVOKING
        assert "grant.revoking" not in events(grant.ref)
    sweep(now=lambda: after(world, seconds=9), name="test")
    assert events(grant.ref)[-1] == "grant.revoking"
    assert not AuditBacklog.objects.exists()
    assert intact()


def test_an_act_of_many_ends_waits_for_the_record_once_and_its_entries_stay_together(world, owner_connection):
    grants = [world.grant() for _ in range(6)]
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        began = time.monotonic()
        disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
        assert time.monotonic() - began < allow(2)
    kept = AuditBacklog.objects.order_by("pk").values_list("event", flat=True)
    assert list(kept) == [*["grant.revoking"] * len(grants), "identity.disabled"]
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
            assert time.monotonic() - began < allow(5)
            assert (report.ended, state(grant)) == (1, GrantState.REVOKING)
        assert state(waiting) == GrantState.SCHEDULED
    del pending
    sweep(now=lambda: after(world, seconds=700), name="test")
    assert all(events(grant.ref)[-1] == "grant.revoking" for grant in (first, second))
    assert intact()


def test_a_lost_gateway_whose_session_is_held_delays_no_end(world, sweeper, owner_connection):
    opened = session(use(world.grant(), now=world.now), now=world.now)
    other = session(use(world.grant(), now=world.now), now=world.now)
    GatewayNode.objects.update(seen_at=world.now - dt.timedelta(seconds=60))
    due = world.grant(now=clock.now(), duration=math.ceil(allow(4)))
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM sessions_app_session WHERE id = %s FOR UPDATE", [opened])
        sweeper.start()
        assert lateness(due) < allow(2)
        eventually(lambda: Session.objects.get(pk=other).close_reason == "gateway lost")
        assert Session.objects.get(pk=opened).closed_at is None
    eventually(lambda: Session.objects.get(pk=opened).close_reason == "gateway lost")
    eventually(lambda: GatewayNode.objects.get().stopped_at)


def test_what_has_lost_its_ground_and_is_held_delays_nothing_else_that_has(world, owner_connection):
    held, other = world.grant(), world.grant()
    opened = session(use(world.grant(duration=7200), now=world.now), now=world.now)
    type(world.alice).objects.filter(pk=world.alice.pk).update(is_active=False)
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM sessions_app_grant WHERE id = %s FOR UPDATE", [held.pk])
        assert end_baseless(now=after(world, seconds=13)) == 2
        assert (state(held), state(other)) == (GrantState.ACTIVE, GrantState.REVOKING)
        assert Session.objects.get(pk=opened).close_reason == "gateway lost"
    assert end_baseless(now=after(world, seconds=15)) == 1
    assert state(held) == GrantState.REVOKING


def test_who_holds_the_row_of_a_sweeper_delays_no_sweep_under_the_same_name(world, owner_connection):
    grant = world.grant(duration=600)
    sweep(now=lambda: world.now, name="worker")
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM sessions_app_sweeper FOR UPDATE")
        swept = Started(lambda: sweep(now=lambda: after(world, seconds=600), name="worker"))
        eventually(lambda: state(grant) == GrantState.REVOKING, within=5)
        assert (swept.result().ended, swept.result().failed) == (1, {})
    sweep(now=lambda: after(world, seconds=606), name="worker")
    assert SweeperRow.objects.get(name="worker").seen_at == after(world, seconds=606)


def lateness(grant) -> float:
    """By how many seconds the end of a grant began after its deadline."""
    eventually(lambda: state(grant) in (GrantState.REVOKING, GrantState.ENDED), within=20)
    return (grant.revoking_at - grant.expires_at).total_seconds()


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


def test_a_process_that_was_stopped_in_a_transaction_is_cut_loose(world, other_process):
    grant = world.grant()
    other_process(STOPPED, says="holding")
    began = time.monotonic()
    ending = Started(
        lambda: end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
    )
    eventually(lambda: state(grant) == GrantState.REVOKING, within=20, every=0.2)
    assert time.monotonic() - began < allow(18)
    ending.result()


def test_a_plan_locks_nothing_that_others_need(world, owner_connection):
    """Whoever holds a grant, the catalog and the record does not hold a plan up, so it waits for none of
    them.
    """
    grant = world.grant()
    files = {**policy(world, requesters={"groups": ["nobody-yet"]}), "groups/x.yaml": "name: nobody-yet\n"}
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        owner_connection.execute("SELECT FROM sessions_app_grant FOR UPDATE")
        owner_connection.execute("SELECT pg_advisory_xact_lock(7400100)")
        began = time.monotonic()
        plan = world.apply(files, plan_only=True)
        assert time.monotonic() - began < allow(5)
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

    world.request()
    notice = Notice.objects.get(identity=world.bob)
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = hole.getsockname()
        settings.EMAIL_TIMEOUT = 60
        sending = Started(lambda: send_notices(now=lambda: world.now))
        accepted, _ = hole.accept()
        Notice.objects.filter(pk=notice.pk).update(subject="Not locked")
        assert fresh(notice).next_attempt_at > world.now + dt.timedelta(minutes=1), (
            "no other worker may send it too"
        )
        # It hangs for as long as this takes.
        hole.close()
        accepted.close()
        sending.result()
    assert (fresh(notice).subject, notice.mailed_at, notice.attempts) == ("Not locked", None, 1)
    assert notice.next_attempt_at == after(world, seconds=60)


GOING_ROUND = """
import django; django.setup()
import os, signal
from broker.kernel import clock
from sessions_app.operations.targets.reconcile_all import reconcile_all
def now():
    print("going round", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    return clock.now()
reconcile_all(now=now)
"""


def test_a_process_that_was_stopped_while_it_compared_targets_is_taken_over(world, other_process):
    other_process(GOING_ROUND, says="going round")
    reconcile_all(now=clock.now)
    assert not Observation.objects.exists()

    def compared() -> bool:
        reconcile_all(now=clock.now)
        return Observation.objects.exists()

    eventually(compared, within=SILENT + 30, every=2)

"""An older backup was restored: what was revoked since lives again by its rows, and by nothing else."""

import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from broker.audit.checkpoint import CheckpointRefused, make_checkpoint, newest_checkpoint
from broker.audit.queries import last_number, latest_verification
from broker.audit.standing import RecordContradicted, stands
from broker.audit.whole import verify_part
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app import tasks
from sessions_app.models import EndReason, Grant, GrantState, RequestState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.record.accept_restore import NothingWasRestored, accept_restore
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.open_session import open_session
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.operations.sweep.sweep import sweep
from tests.environment import POSTGRES
from tests.support.databases import drop_database, owner
from tests.support.waits import eventually
from tests.support.world.acts import awake, events, fresh, intact, last, run, session, use

Restore = Callable[[], None]


@pytest.fixture
def kept(settings, tmp_path) -> Path:
    """The file outside the database."""
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    return settings.CHECKPOINTS_FILE


@pytest.fixture
def dump(processes, stint_db, tmp_path) -> Callable[[], Restore]:
    """Dump the database as it is; what it returns puts it back in its place."""
    tools, file = POSTGRES.binaries.postgres.parent, tmp_path / "stint.dump"

    def take() -> Restore:
        url = POSTGRES.url("stint_owner", stint_db.name)
        subprocess.run([tools / "pg_dump", "-Fc", "-f", file, url], check=True)

        def restore() -> None:
            connections.close_all()
            drop_database(stint_db.name)
            owner(f"CREATE DATABASE {stint_db.name}")
            subprocess.run([tools / "pg_restore", "--exit-on-error", "-d", url, file], check=True)

        return restore

    return take


@pytest.fixture
def revived(live_world, kept, dump):
    """A grant that was revoked and ended after the dump, and is ACTIVE by its row again; a session of it was
    open.
    """
    world = live_world
    grant = world.grant()
    opened = session(use(grant, now=world.now), now=world.now)
    found = use(grant, now=world.now)
    make_checkpoint(now=clock.now())
    restore = dump()
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=clock.now())
    make_checkpoint(now=clock.now())
    restore()
    awake(clock.now())
    assert fresh(grant).state == GrantState.ACTIVE, "the backup has it so"
    return world, grant, found, opened


def test_what_was_revoked_since_the_backup_opens_no_entry_point(revived):
    world, grant, found, opened = revived
    now, pending = clock.now(), world.request(duration=600)
    waiting = world.request(duration=700)
    tries = (
        lambda: authorize_use(by=ByHolder(grant.holder_id, "web-1", None, now)),
        lambda: open_session(
            use=found, gateway_id=1, client_address="192.0.2.1", proof="SHA256:key", now=now
        ),
        lambda: run(found, opened, now=now),
        lambda: world.decide(pending, now=now),
        lambda: extend_grant(grant_id=grant.pk, requester=world.alice, seconds=600, reason="More", now=now),
        lambda: world.request(kind="break_glass", now=now),
        lambda: world.respond(world.incident(), now=now),
    )
    for attempt in tries:
        with pytest.raises(RecordContradicted, match="older backup"):
            attempt()
    assert Grant.objects.count() == 1
    # What takes nothing goes on.
    world.decide(waiting, verdict="deny", comment="Later", now=now)
    assert fresh(waiting).state == RequestState.DENIED


def test_an_end_is_signed_when_it_is_made_and_not_only_with_the_next_minute(
    live_world, kept, dump, fake_targets
):
    world = live_world
    grant = world.grant()
    make_checkpoint(now=clock.now())
    restore = dump()
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=clock.now())
    tasks.deprovision(grant_id=grant.pk)
    eventually(lambda: newest_checkpoint().size == last_number(), within=10)
    eventually(lambda: not tasks._keepers._busy and not tasks._revokers._works, within=10)
    restore()
    awake(clock.now())
    with pytest.raises(RecordContradicted, match="older backup"):
        authorize_use(by=ByHolder(grant.holder_id, "web-1", None, clock.now()))


def test_nothing_starts_and_ends_go_on(live_world, kept, dump):
    world = live_world
    due, other = world.grant(start=False), world.grant()
    make_checkpoint(now=clock.now())
    restore = dump()
    end_grant(grant_id=due.pk, actor=world.bob, reason=EndReason.REVOKED, now=clock.now())
    make_checkpoint(now=clock.now())
    restore()
    awake(clock.now())
    report = sweep(now=clock.now, name="test")
    provision_grant(grant_id=due.pk, now=clock.now())
    assert (fresh(due).state, report.failed) == (GrantState.SCHEDULED, {})
    assert due.next_attempt_at > clock.now(), "it is not tried again and again"
    end_grant(grant_id=other.pk, actor=world.bob, reason=EndReason.REVOKED, now=clock.now())
    assert fresh(other).state == GrantState.REVOKING
    with pytest.raises(CheckpointRefused, match="older backup"):
        make_checkpoint(now=clock.now())


def test_restored_ends_everything_says_what_was_lost_and_goes_on(revived, kept, client):
    world, grant, *_ = revived
    client.force_login(world.alice)
    assert not stands()
    verify_part(connection=connection, actor=tasks.VERIFIER, now=clock.now())
    assert not latest_verification().ok
    lost = kept.read_text()
    out = StringIO()
    call_command("restored", reason="The disk died", stdout=out)
    assert (fresh(grant).state, grant.end_reason, grant.end_note) == (
        GrantState.REVOKING,
        EndReason.RESTORED,
        "The disk died",
    )
    entry = last("record.restored", "main")
    assert entry.data["reason"] == "The disk died"
    assert entry.data["lost"] == entry.data["signed_before"] - entry.data["agreed"] >= 1
    assert f"Lost: at least {entry.data['lost']} entries" in out.getvalue()
    assert grant.ref in out.getvalue()
    (aside,) = kept.parent.glob("checkpoints.txt.*")
    assert aside.read_text() == lost
    assert entry.data["checkpoints"] == aside.name
    assert client.get("/").status_code == 302, "everybody signs in again"
    # From here on it is a record like any other.
    assert stands()
    assert latest_verification().ok
    assert intact()
    anew = world.grant(now=clock.now())
    assert use(anew, now=clock.now())
    assert "grant.active" in events(anew.ref)


def test_without_a_contradiction_or_a_reason_nothing_ends(live_world, kept):
    grant = live_world.grant()
    make_checkpoint(now=clock.now())
    with pytest.raises(NothingWasRestored):
        accept_restore(reason="To be sure", now=clock.now())
    with pytest.raises(InvalidInput):
        accept_restore(reason=" ", now=clock.now())
    with pytest.raises(CommandError, match="matches"):
        call_command("restored", reason="To be sure")
    assert fresh(grant).state == GrantState.ACTIVE

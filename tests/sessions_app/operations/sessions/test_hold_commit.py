"""The COMMIT of a transaction is held for a second person."""

import datetime as dt

import pytest

from sessions_app.models import CommandRun, HeldCommit, RunState
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.hold_commit import NotUncommitted, hold_commit
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from sessions_app.operations.sessions.release_held import release_held
from sessions_app.policy.commands.answers import Refused
from sessions_app.queries.grants.held_commits import readable_commits, statements_of
from tests.support.world.acts import events, last, revoke, run, session, use

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def used(world):
    return use(world.grant(), now=world.now)


@pytest.fixture
def tried(world, used):
    opened = session(used, now=world.now)
    return [run(used, opened, now=world.now) for _ in range(2)]


def content(*touched: int) -> dict:
    return {
        "statements": [
            {
                "line": "UPDATE app.orders SET note = 'late' WHERE id = 2",
                "touched": rows,
                "columns": ["id", "note"],
                "changed": [False, True],
                "rows": [[["2", None], ["2", "Personal data"]]],
                "notes": [],
                "plan": "",
            }
            for rows in touched
        ]
    }


def hold(world, used, tried, *, lasts=MINUTE, now=None):
    return hold_commit(
        use=used,
        run_ids=[one.run_id for one in tried],
        decision=tried[0].decision,
        content=content(*(1 for _ in tried)),
        lasts=lasts,
        now=now or world.now,
    )


def test_the_first_statement_is_held_for_all_and_approvers_are_notified(world, used, tried):
    held = hold(world, used, tried)
    first, second = CommandRun.objects.filter(pk__in=[one.run_id for one in tried]).order_by("pk")
    assert (held.verdict, held.run_id) == ("held", first.pk)
    assert (first.state, first.hold_lapses_at) == (RunState.HELD, world.now + MINUTE)
    assert second.state == RunState.RUNNING
    entry = last("command.held", used.grant_ref)
    assert entry.data["commit"]["runs"] == [first.pk, second.pk]
    assert "Personal" not in str(entry.data)
    (notice,) = world.bob.notices.filter(run=first)
    assert notice.subject.startswith("Alice is waiting to commit a change of 2 rows, echo restart nginx")


def test_once_allowed_it_runs_on_from_when_it_began(world, used, tried):
    held = hold(world, used, tried)
    decide_hold(run_id=held.run_id, actor=world.bob, allow=True, now=world.now)
    released = release_held(
        use=used, run_id=held.run_id, line=held.line, decision=held.decision, now=world.now + MINUTE / 2
    )
    assert released.verdict == "allowed"
    assert CommandRun.objects.get(pk=held.run_id).started_at == world.now


def test_the_rows_are_encrypted_and_shown_to_those_who_may_decide(world, used, tried):
    grant = CommandRun.objects.get(pk=hold(world, used, tried).run_id).grant
    runs = list(grant.runs.select_related("held_commit"))
    stored = HeldCommit.objects.get()
    assert b"Personal" not in bytes(stored.sealed_content)
    (cell,) = (cell for cell in statements_of(stored)[0].rows[0] if cell.column == "note")
    assert (cell.before, cell.after, cell.state) == (None, "Personal data", "changed")
    assert list(readable_commits(world.bob, grant, runs)) == [stored.run_id]
    for other in (world.alice, world.charlie, world.admin):
        assert readable_commits(other, grant, runs) == {}


def test_what_has_ended_can_not_be_held(world, used, tried):
    CommandRun.objects.filter(pk=tried[1].run_id).update(state=RunState.CUT)
    with pytest.raises(NotUncommitted):
        hold(world, used, tried)
    revoke(CommandRun.objects.get(pk=tried[0].run_id).grant)
    with pytest.raises(GrantIsOver):
        hold(world, used, tried[:1])


def test_too_many_waiting_commands_put_it_off(world, used, tried, settings):
    settings.WAITING_COMMANDS_PER_GRANT = 0
    assert isinstance(hold(world, used, tried).decision, Refused)
    assert "command.held" not in events(used.grant_ref)
    assert not HeldCommit.objects.exists()


def test_the_rows_are_deleted_after_the_retention_time_of_recordings(world, used, tried, tmp_path):
    held = hold(world, used, tried)
    CommandRun.objects.filter(pk=held.run_id).update(state=RunState.DONE, ended_at=world.now)
    purge_recordings(folder=tmp_path / "none", now=world.now + dt.timedelta(days=1))
    assert HeldCommit.objects.exists()
    purge_recordings(folder=tmp_path / "none", now=world.now + dt.timedelta(days=4000))
    assert not HeldCommit.objects.exists()
    assert last("recording.purged", used.grant_ref).data["runs"] == [
        {"run": held.run_id, "held_commit": True}
    ]

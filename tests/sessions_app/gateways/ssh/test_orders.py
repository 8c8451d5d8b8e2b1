"""Commands started on a grant's page: like over SSH, by a real gateway on a real target."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from broker.kernel import clock
from sessions_app.models import CommandOrder, CommandRun
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.order_command import LAPSES, LineRefused, order_command
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from tests.sessions_app.gateways.ssh.test_ending import LIMIT, ended, revoke
from tests.support.pace import allow
from tests.support.servers.gateway import new_tag, on_target
from tests.support.waits import eventually

pytestmark = pytest.mark.timing

BROWSER = "203.0.113.7"
RESTART, SAY, ACT, FINISH, HELD = 1, 2, 3, 4, 5


def order(
    place, grant, index: int, *, target: str = "web-1", who: str = "alice", **values: str
) -> CommandOrder:
    return order_command(
        grant_id=grant.pk,
        actor=getattr(place.world, who),
        target=target,
        index=index,
        values=values,
        client_address=BROWSER,
        now=clock.now(),
    )


def run_of(asked: CommandOrder, *states: str, within: float = 10) -> CommandRun:
    """Return the run of an order, once it is in one of the states."""

    def arrived() -> bool:
        asked.refresh_from_db()
        return asked.run is not None and (not states or asked.run.state in states)

    eventually(arrived, within=within)
    return asked.run


def printed(place, run: CommandRun) -> str:
    """Return the recorded output of a run."""
    path = place.folder / "state" / "recordings" / run.recording
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return "".join(json.loads(line)[2] for line in lines)


@contextlib.contextmanager
def running(place, grant, kind: str) -> Iterator[tuple[CommandOrder, int]]:
    """Yield an order whose command is seen to run on the target, and its tag."""
    tag = new_tag()
    asked = order(place, grant, ACT, kind=kind, tag=str(tag))
    try:
        eventually(lambda: on_target(tag))
        yield asked, tag
    finally:
        for pid in on_target(tag):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_it_runs_and_its_output_is_in_the_recording(place):
    grant = place.grant()
    run = run_of(order(place, grant, SAY, word="hello"), "done")
    assert (run.line, run.exit_status, run.target.name) == ("echo say hello", 0, "web-1")
    assert printed(place, run) == "say hello\r\n"
    assert run.recording_digest
    eventually(lambda: grant.sessions.get().closed_at)
    session = grant.sessions.get()
    assert (session.client_address, session.proof, session.close_reason) == (BROWSER, "page", "done")


def test_an_exit_status_is_kept_and_there_is_no_input(place):
    grant = place.grant()
    assert run_of(order(place, grant, ACT, kind="status", tag="3"), "done").exit_status == 3
    assert printed(place, run_of(order(place, grant, ACT, kind="count", tag="1"), "done")) == "0\r\n"


def test_it_begins_within_a_moment_and_on_the_target_that_was_chosen(place):
    grant = place.grant()
    asked = order(place, grant, RESTART, target="web-2")
    run = run_of(asked, "done")
    assert run.target.name == "web-2"
    assert (place.logins(grant, "web-1"), place.logins(grant, "web-2")) == (0, 1)
    assert (run.tried_at - asked.created_at).total_seconds() < allow(1)


def test_what_is_refused_is_recorded_as_over_ssh_and_reaches_no_target(place):
    grant = place.grant()
    with pytest.raises(LineRefused, match="word"):
        order(place, grant, SAY, word="Hello; id")
    run = run_of(CommandOrder.objects.filter(grant=grant).latest("pk"), "refused")
    assert run.line == "echo say 'Hello; id'"
    assert "word" in run.reason
    assert place.logins(grant) == 0


def test_a_held_command_waits_and_runs_once_it_is_allowed(place):
    grant = place.grant()
    run = run_of(order(place, grant, HELD), "held")
    decide_hold(run_id=run.pk, actor=place.world.bob, allow=True, now=clock.now())
    eventually(lambda: run.refresh_from_db() or run.state == "done")
    assert printed(place, run) == "held nginx\r\n"


def test_a_held_command_that_is_withdrawn_never_runs(place):
    grant = place.grant()
    run = run_of(order(place, grant, HELD), "held")
    withdraw_hold(run_id=run.pk, actor=place.world.alice, now=clock.now())
    eventually(lambda: grant.sessions.get().closed_at)
    run.refresh_from_db()
    assert run.state == "withdrawn"
    assert place.logins(grant) == 0


def test_a_revoke_leaves_no_process(place):
    grant = place.grant()
    with running(place, grant, "daemon") as (asked, tag):
        revoke(grant)
        eventually(lambda: not on_target(tag), within=LIMIT)
        assert run_of(asked, "cut").reason == "revoked"
    eventually(lambda: ended(grant))
    assert grant.leases.get().evidence["processes_left"] == 0


def test_a_command_that_may_finish_does(place):
    grant = place.grant()
    asked = order(place, grant, FINISH, tag="4")
    run_of(asked, "running")
    eventually(lambda: grant.leases.exists())
    time.sleep(1)
    revoke(grant, cut=False)
    assert run_of(asked, "done", "cut", "failed").state == "done"


def test_nothing_runs_under_a_grant_that_is_over_when_a_gateway_comes(place):
    grant = place.grant()
    place.gateway.send_signal(signal.SIGSTOP)
    try:
        asked = order(place, grant, RESTART)
        revoke(grant)
    finally:
        place.gateway.send_signal(signal.SIGCONT)
    eventually(lambda: asked.refresh_from_db() or asked.error)
    assert "has ended" in asked.error
    assert asked.run is None


def test_what_a_running_command_printed_can_be_read_within_a_second(place):
    grant = place.grant()
    with running(place, grant, "flood") as (asked, _):
        run = run_of(asked, "running")
        path = place.folder / "state" / "recordings" / grant.ref / f"{run.pk}.cast"
        eventually(lambda: path.exists() and path.stat().st_size > 1000, within=2)
        revoke(grant)


def test_an_order_that_was_made_while_no_gateway_ran_is_found_or_has_lapsed(place):
    grant = place.grant()
    place.stop(signal.SIGTERM)
    kept = order(place, grant, SAY, word="kept")
    lapsed = order(place, grant, SAY, word="lapsed")
    CommandOrder.objects.filter(pk=lapsed.pk).update(lapses_at=clock.now())
    place.start()
    run_of(kept, "done")
    lapsed.refresh_from_db()
    assert (lapsed.claimed_at, lapsed.run) == (None, None)
    assert LAPSES.total_seconds() == 30

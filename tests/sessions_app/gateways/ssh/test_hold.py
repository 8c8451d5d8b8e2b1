"""Commands that wait for a second person, as their holder sees it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.waits import PATIENCE, eventually

pytestmark = pytest.mark.timing


@pytest.fixture
def grant(place):
    return place.grant()


@contextlib.contextmanager
def waiting(place, grant) -> Iterator[tuple[subprocess.Popen[bytes], object]]:
    """A held command, and its run."""
    client = subprocess.Popen(
        place.command("echo held nginx"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        eventually(lambda: grant.runs.filter(state="held").exists() or client.poll() is not None)
        assert client.poll() is None, client.communicate()
        yield client, grant.runs.get(state="held")
    finally:
        client.kill()
        client.communicate()


def decide(place, run, *, allow: bool) -> None:
    from broker.kernel import clock
    from sessions_app.operations.sessions.decide_hold import decide_hold

    decide_hold(run_id=run.pk, actor=place.world.bob, allow=allow, now=clock.now())


def test_an_allowed_command_runs_once_and_says_who_allowed_it(place, grant):
    with waiting(place, grant) as (client, run):
        decide(place, run, allow=True)
        out, err = client.communicate(timeout=PATIENCE)
        assert (client.returncode, out) == (0, b"held nginx\n")
        assert b"waiting for approval" in err
        assert b"Bob allowed it once" in err
        assert place.logins(grant) == 1
    eventually(lambda: grant.runs.get().state == "done")


def test_a_holder_who_goes_away_takes_the_command_along(place, grant):
    with waiting(place, grant) as (client, run):
        client.kill()
        eventually(lambda: grant.runs.get().state == "cut", within=3)
        from sessions_app.operations.requests.decide_request import AlreadyDecided

        with pytest.raises(AlreadyDecided):
            decide(place, run, allow=True)


def test_a_hold_that_nobody_decides_lapses(place, grant):
    from sessions_app.models import CommandRun

    with waiting(place, grant) as (client, run):
        CommandRun.objects.filter(pk=run.pk).update(hold_lapses_at=run.tried_at)
        out, err = client.communicate(timeout=PATIENCE)
        assert (client.returncode, out) == (255, b"")
        assert b"Timed out: not approved in time" in err

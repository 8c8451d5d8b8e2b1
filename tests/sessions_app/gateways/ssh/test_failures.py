"""Failures, and what holders and targets see of them."""

import os
import signal
from collections.abc import Iterator

import pytest

from broker.demo.ports import free_port
from sessions_app.queries.grants.comparisons import comparison
from tests.sessions_app.gateways.conftest import make_place
from tests.sessions_app.gateways.ssh.test_ending import ended, revoke, seconds_over
from tests.support.pace import allow, assert_in_time
from tests.support.servers.gateway import Place, new_tag, on_target
from tests.support.servers.proxy import BlackHole, black_hole
from tests.support.servers.running import start
from tests.support.waits import eventually

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """A place without a running gateway: each test starts and ends it."""
    with django_db_blocker.unblock():
        yield from make_place(tmp_path_factory, start=False)


@pytest.fixture
def gateway(place) -> Iterator[Place]:
    place.start()
    yield place
    place.stop()


def test_a_command_whose_connection_to_the_target_is_lost_was_used_and_says_so(gateway):
    grant, target = gateway.grant(), gateway.targets["web-1"]
    try:
        with gateway.running("sleep") as (client, _):
            target.kill()
            assert client.wait(allow(5)) == 255
    finally:
        target.start()
    eventually(lambda: grant.runs.get().ended_at is not None)
    run = grant.runs.get()
    assert (run.state, run.reason) == (
        "cut",
        "the connection to web-1 was lost; the command may still be running",
    )
    assert {row["target"]: row["times"] for row in comparison(grant, run.ended_at)["targets"]}["web-1"] == 1


def test_a_gateway_that_is_frozen_does_not_lengthen_anything(gateway):
    grant = gateway.grant(duration=4)
    with gateway.running("daemon") as (_, tag):
        os.kill(gateway.gateway.pid, signal.SIGSTOP)
        eventually(lambda: not on_target(tag), within=2 - seconds_over(grant))
        assert_in_time(seconds_over(grant), most=2)
        os.kill(gateway.gateway.pid, signal.SIGCONT)
    eventually(lambda: ended(grant))


@pytest.fixture
def hole(place) -> Iterator[BlackHole]:
    """A gateway whose connection to its database can be frozen."""
    with black_hole(place.folder / "hole", place.env["DATABASE_URL"]) as (way, url):
        place.start(DATABASE_URL=url)
        yield way
        way.thaw()
        place.stop()


def test_without_its_database_a_gateway_asks_the_target_itself_to_kill_what_was_left_behind(place, hole):
    """At once, although other commands of its set may finish for ten seconds."""
    grant, tag = place.grant(duration=8), new_tag()
    place.ssh("test", "leave", str(tag))
    assert on_target(tag)
    # Otherwise ten seconds without the database would end everything before the deadline does.
    eventually(lambda: seconds_over(grant) > -8, within=15)
    hole.freeze()
    eventually(lambda: seconds_over(grant) > -0.5, within=15)
    eventually(lambda: not on_target(tag), within=0.5 + allow(2))
    assert seconds_over(grant) < allow(2)
    hole.thaw()
    eventually(lambda: ended(grant))


def test_without_its_database_a_gateway_kills_what_was_cut_and_leaves_what_may_finish(place, hole):
    grant, tag = place.grant(duration=12), new_tag()
    with place.running("sleep", finish=True) as (client, finishing):
        place.ssh("test", "leave", str(tag))
        # Ten seconds without the database end everything, which must come after the check.
        eventually(lambda: seconds_over(grant) > -2.5, within=30)
        hole.freeze()
        eventually(lambda: seconds_over(grant) > -0.1, within=5)
        eventually(lambda: not on_target(tag), within=allow(2))
        assert seconds_over(grant) < allow(2)
        assert on_target(finishing)
        assert client.poll() is None
        eventually(lambda: not on_target(finishing), within=10 + allow(2))
        hole.thaw()
    eventually(lambda: ended(grant))


def test_two_gateways_of_one_database_do_not_touch_each_others_sessions(gateway):
    port = free_port()
    with (gateway.folder / "second.log").open("ab") as log:
        words = ("manage.py", "gateway", "--protocols", "ssh", "--ssh-port", str(port), "--name", "second")
        second = start(*words, env=gateway.env, stderr=log)
    first_port = gateway.port
    try:
        grant = gateway.grant()
        with gateway.running("sleep") as (client, tag):
            gateway.port = port
            eventually(lambda: gateway.ssh("true").returncode == 0, within=20)
            with gateway.running("sleep") as (other, other_tag):
                second.terminate()
                assert second.wait(allow(5)) == 0
                eventually(lambda: not on_target(other_tag), within=2)
                assert other.wait(allow(2)) == 255
            assert on_target(tag)
            assert client.poll() is None
            revoke(grant)
            eventually(lambda: not on_target(tag), within=2)
        eventually(lambda: ended(grant))
    finally:
        gateway.port = first_port
        second.kill()
        second.wait()


def test_a_recording_that_can_not_be_written_stops_the_command(gateway):
    grant = gateway.grant()
    blocked = gateway.folder / "state" / "recordings" / grant.ref
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a folder has to be")
    done = gateway.ssh("true")
    assert done.returncode == 255
    assert gateway.logins(grant) == 0
    eventually(lambda: grant.runs.get().state == "failed")


def test_a_grant_whose_recordings_are_full_goes_on_and_its_recordings_say_why_they_end(place):
    place.start(STINT_RECORDINGS_MIB_PER_GRANT="1")
    try:
        grant = place.grant()
        for _ in range(2):
            assert len(place.ssh("test big 3000000").stdout) == 3_000_000
        eventually(lambda: grant.runs.filter(state="done").count() == 2)
        full, empty = grant.runs.order_by("pk")
        assert full.recording_bytes > 2**20 > 10_000 > empty.recording_bytes > 0
        said = (place.folder / "state" / "recordings" / empty.recording).read_text()
        assert "recording truncated: this grant's recordings have 1 MiB" in said
    finally:
        place.stop()

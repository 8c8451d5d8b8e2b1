"""No command over SSH outlives its grant. How commands may try to survive is tested at the wrapper."""

import asyncio
import os
import random
import signal
import subprocess
import time
from itertools import pairwise

import asyncssh
import pytest
from asyncssh.packet import String

from broker.kernel import clock
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.stop_run import stop_run
from tests.support.pace import allow
from tests.support.servers.gateway import new_tag, on_target
from tests.support.waits import PATIENCE, eventually
from tests.support.world.acts import revoke, run, session, use

pytestmark = pytest.mark.timing
LIMIT = 2.0


def seconds_over(grant) -> float:
    """Return the seconds since the grant ended by the database's clock; negative while it is active."""
    return (clock.now() - grant.expires_at).total_seconds()


def ended(grant) -> bool:
    grant.refresh_from_db()
    return grant.state == "ended"


@pytest.mark.parametrize("place", ["group", "pidns"], indirect=True, scope="module")
def test_a_revoke_leaves_no_process_and_its_holder_is_told_that_alone(place):
    grant = place.grant()
    with place.running("daemon") as (client, tag):
        revoke(grant)
        eventually(lambda: not on_target(tag), within=LIMIT)
        assert client.wait(allow(LIMIT)) == 255
        assert client.stderr.read().decode() == f"stint: {grant.ref} has ended: revoked.\n"
    eventually(lambda: ended(grant))
    (lease,) = grant.leases.all()
    assert lease.evidence["processes_left"] == 0
    assert {"asked_at", "answered_at", "processes_found", "rounds"} <= set(lease.evidence)


def test_one_command_is_ended_alone_with_all_that_it_started(place):
    grant = place.grant()
    with place.running("daemon") as (client, tag), place.running("sleep") as (other, kept):
        one = grant.runs.get(line__endswith=str(tag))
        stop_run(run_id=one.pk, actor=place.world.bob, now=clock.now())
        eventually(lambda: not on_target(tag), within=LIMIT)
        assert client.wait(allow(LIMIT)) == 255
        assert client.stderr.read().decode() == "stint: the command was cut: Bob ended this command.\n"
        assert (other.poll(), bool(on_target(kept))) == (None, True)
    eventually(lambda: one.refresh_from_db() or one.state == "cut")
    assert one.reason == "Bob ended this command"
    assert not ended(grant)


@pytest.mark.parametrize("sent", ["A\0B", "x" * 300, ""])
def test_no_signal_that_a_holder_sends_keeps_the_end_from_being_proven(place, sent):
    grant, key, tag = place.grant(), str(place.key("alice")), new_tag()

    async def send() -> None:
        async with asyncssh.connect(
            "127.0.0.1",
            place.port,
            username="web-1",
            client_keys=[key],
            known_hosts=None,
            config=None,
            agent_path=None,
        ) as conn:
            process = await conn.create_process(f"test sleep {tag}")
            await asyncio.to_thread(eventually, lambda: on_target(tag))
            process.channel._send_request(b"signal", String(sent))
            await asyncio.wait_for(process.wait(), allow(10))

    asyncio.run(send())
    revoke(grant)
    eventually(lambda: ended(grant))
    tried = grant.runs.get()
    assert (tried.state, tried.reason) == ("cut", "its holder sent UNKNOWN")


def test_a_revoke_at_any_moment_leaves_nothing(place):
    chance = random.Random(7)
    tags, clients, grants = [], [], []
    for _ in range(24):
        grant = place.grant()
        tag = new_tag()
        words = place.command("test", "nohup", str(tag), user=f"{grant.ref}.web-1")
        clients.append(
            subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        time.sleep(chance.uniform(0.0, 0.35))
        revoke(grant)
        tags.append(tag)
        grants.append(grant)
    assert all(client.wait(PATIENCE) == 255 for client in clients)
    eventually(lambda: not any(on_target(tag) for tag in tags), within=LIMIT)
    eventually(lambda: all(ended(grant) for grant in grants))


def test_a_client_that_goes_away_takes_its_command_along(place):
    place.grant()
    with place.running("nohup") as (client, tag):
        client.kill()
        eventually(lambda: not on_target(tag), within=LIMIT)


def test_two_grants_on_one_connection_end_apart(place):
    one, two = place.grant(), place.grant(parameters={"unit": "haproxy"})
    master = place.folder / f"master-{one.ref}"
    options = ("-o", "ControlMaster=auto", "-o", f"ControlPath={master}", "-o", "ControlPersist=20")
    assert place.ssh("echo restart nginx", options=options).returncode == 0
    try:
        assert place.ssh("echo restart haproxy", options=options).returncode == 0
        revoke(one)
        eventually(lambda: ended(one))
        assert place.ssh("echo restart haproxy", options=options).stdout == b"restart haproxy\n"
        assert place.ssh("echo restart nginx", options=options).returncode == 255
        revoke(two)
        assert b"no active access" in place.ssh("echo restart haproxy", options=options).stderr
    finally:
        subprocess.run(
            ["ssh", "-F", "none", "-o", f"ControlPath={master}", "-O", "exit", "x"],
            check=False,
            capture_output=True,
        )


def test_a_command_that_may_finish_goes_on_and_nothing_new_starts(place):
    grant = place.grant(duration=3)
    with place.running("sleep", finish=True) as (client, tag), place.running("nohup") as (_, other):
        eventually(lambda: not on_target(other), within=LIMIT - seconds_over(grant))
        assert seconds_over(grant) < allow(LIMIT)
        assert on_target(tag)
        assert b"no active access" in place.ssh("true").stderr
        eventually(lambda: not on_target(tag), within=14)
        assert 9.5 < seconds_over(grant) < 10 + allow(LIMIT)
        assert client.wait(allow(LIMIT)) == 255
        said = client.stderr.read().decode()
        assert "This command may finish until" in said
    eventually(lambda: ended(grant))


def test_what_left_a_cut_command_is_found_while_another_finishes(place):
    grant = place.grant(duration=7)
    with place.running("sleep", finish=True) as (_, tag), place.running("daemon") as (_, other):
        eventually(lambda: not on_target(other), within=LIMIT - seconds_over(grant))
        assert seconds_over(grant) < allow(LIMIT)
        assert on_target(tag)
        revoke(grant)
    eventually(lambda: ended(grant))


def test_a_target_that_hangs_delays_no_other(place):
    hung = [used(place, "web-1", "web-2") for _ in range(10)]
    fine = [used(place, "web-1") for _ in range(40)]
    target = place.targets["web-2"]
    # The kernel still accepts connections for it.
    os.kill(target.pid, signal.SIGSTOP)
    try:
        for grant in [*hung, *fine]:
            revoke(grant)
        eventually(lambda: all(ended(grant) for grant in fine), within=20, every=0.1)
        assert not any(ended(grant) for grant in hung)
        # As many as the machine can, one after another, since the first one that hangs: it hangs for eight
        # seconds.
        moments = [hung[0].revoking_at, *sorted(grant.ended_at for grant in fine)]
        longest = max(later - sooner for sooner, later in pairwise(moments)).total_seconds()
        assert longest < min(allow(2 * LIMIT), 7)
    finally:
        os.kill(target.pid, signal.SIGCONT)
    eventually(lambda: all(ended(grant) for grant in hung), within=60, every=0.1)


def used(place, *targets: str):
    """Return a grant that was used on targets, by a gateway that has closed its sessions."""
    grant, now = place.grant(), clock.now()
    for target in targets:
        one = use(grant, target, now=now)
        opened = session(one, now=now, gateway="another")
        run(one, opened, "true", now=now)
        close_session(session_id=opened, reason="left", now=now)
    return grant

"""Commands in containers, forwarded ports, followed logs and watches, with kubectl, until their
grant ends.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import aiohttp
import pytest

from broker.demo.ports import free_port
from broker.kernel import clock
from sessions_app.connectors.kubernetes.remote import CLOSE, RESIZE, STDERR, STDIN, STDOUT
from sessions_app.gateways.kubernetes.execution import UNCONTAINED, UNKNOWN
from sessions_app.gateways.kubernetes.streams import (
    channels,
    outcome_in,
    place_of_words,
    size_in,
    stream_target,
)
from sessions_app.policy.commands.kubernetes.api_request import read_request
from tests.support.pace import allow
from tests.support.servers.gateway import new_tag, on_target, tagged
from tests.support.servers.kubernetes.server import Fault
from tests.support.servers.kubernetes.spdy import Session
from tests.support.waits import eventually
from tests.support.world.acts import revoke

LIMIT = 2.0


def in_container(tag: int) -> list[int]:
    """Return the processes of a command in the container."""
    return [pid for pid in on_target(tag) if not _is(pid, b"kubectl")]


def _is(pid: int, program: bytes) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(program + b"\0")
    return False


def exec_words(kind: str, tag: int, *options: str) -> tuple[str, ...]:
    return ("exec", *options, "web-1", "-c", "app", "--", "test", kind, str(tag))


@contextlib.contextmanager
def running(place, grant, kind: str = "nohup"):
    """Yield the client and tag of a command that is seen to run in the container."""
    tag = new_tag()
    client = place.kubectl(grant, *exec_words(kind, tag))
    try:
        eventually(lambda: in_container(tag) or client.poll() is not None, within=30)
        assert client.poll() is None, client.communicate()
        yield client, tag
    finally:
        client.kill()
        client.communicate()
        for pid in tagged(tag):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_command_has_its_input_its_output_and_its_exit_status(place):
    grant = place.grant()
    done = place.run(grant, *exec_words("count", 0, "-i"), stdin=b"12345")
    assert done.stdout.strip() == b"5", done
    done = place.run(grant, *exec_words("both", 0))
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert place.run(grant, *exec_words("status", 7)).returncode == 7
    runs = grant.runs.filter(line__startswith="exec").order_by("pk").values_list("state", "exit_status")
    eventually(lambda: list(runs.all()) == [("done", 0), ("done", 0), ("done", 7)])


def test_what_a_command_prints_is_recorded_with_its_digest_and_its_input_is_not(place):
    grant = place.grant()
    assert place.run(grant, *exec_words("both", 0)).returncode == 0
    run = grant.runs.get(line__startswith="exec")
    eventually(lambda: run.refresh_from_db() or run.recording)
    data = (place.folder / "state" / "recordings" / run.recording).read_bytes()
    assert hashlib.sha256(data).hexdigest() == run.recording_digest
    head, *events = [json.loads(line) for line in data.splitlines()]
    assert head["version"] == 2
    assert sorted(text for _, _, text in events) == ["err\r\n", "out\r\n"]


def test_after_a_revoke_nothing_of_a_command_runs_and_its_holder_reads_why(place):
    grant = place.grant()
    with running(place, grant, "daemon") as (client, tag):
        revoke(grant)
        eventually(lambda: not in_container(tag), within=LIMIT)
        _, said = client.communicate(timeout=allow(5))
        assert f"{grant.ref} has ended: revoked" in said.decode()
    run = grant.runs.get(line__startswith="exec")
    eventually(lambda: run.refresh_from_db() or run.state == "cut")
    assert "terminated" in run.reason


def test_a_command_that_may_finish_goes_on_past_the_end_of_its_grant_and_no_longer(place):
    grant, tag = place.grant(duration=10), new_tag()
    client = place.kubectl(grant, *exec_words("sleep", tag), "finish")
    try:
        eventually(lambda: in_container(tag) or client.poll() is not None, within=30)
        eventually(lambda: clock.now() > grant.expires_at, within=60)
        time.sleep(1)
        assert in_container(tag), client.communicate()
        eventually(lambda: not in_container(tag), within=12)
    finally:
        client.kill()
        client.communicate()


def test_what_a_command_leaves_behind_is_dead_once_it_is_over(place):
    grant, tag = place.grant(), new_tag()
    assert place.run(grant, *exec_words("leave", tag)).returncode == 0
    eventually(lambda: not in_container(tag), within=LIMIT)


def test_after_a_revoke_nothing_runs_of_a_command_that_has_killed_what_watches_over_it(place):
    grant = place.grant()

    def is_alone() -> bool:
        return [_is(pid, b"sleep") for pid in in_container(tag)] == [True, True]

    with running(place, grant, "blind") as (_, tag):
        eventually(is_alone, within=20)
        revoke(grant)
        eventually(lambda: not in_container(tag), within=LIMIT)
    run = grant.runs.get(line__startswith="exec")
    eventually(lambda: run.refresh_from_db() or run.state == "cut")
    assert UNKNOWN not in run.reason


def test_an_image_without_a_shell_runs_only_what_is_not_contained_and_the_run_says_so(place):
    pods, containers = "/api/v1/namespaces/shop/pods", [{"name": "app", "image": "distroless/shop:1"}]
    place.cluster.call("POST", pods, {"metadata": {"name": "bare-1"}, "spec": {"containers": containers}})
    eventually(lambda: ("shop", "bare-1", "app") in place.kubelet.containers)
    grant = place.grant()
    words = ("exec", "bare-1", "-c", "app", "--", "/usr/bin/env")
    refused = place.run(grant, *words, "true")
    assert b"needs sh, sleep and /proc" in refused.stderr
    assert b"contain: none" in refused.stderr
    done = place.run(grant, *words)
    assert done.returncode == 0, done
    assert b"STINT_" not in done.stdout
    runs = grant.runs.filter(line__startswith="exec").order_by("pk")
    eventually(lambda: [run.state for run in runs.all()] == ["failed", "done"])
    assert runs[1].reason == UNCONTAINED


def test_a_client_that_goes_away_takes_its_command_along(place):
    grant = place.grant()
    with running(place, grant) as (client, tag):
        client.kill()
        eventually(lambda: not in_container(tag), within=LIMIT)
    eventually(lambda: grant.runs.get(line__startswith="exec").state == "cut")


def test_a_gateway_that_is_killed_takes_its_commands_along(place):
    grant = place.grant()
    with running(place, grant) as (_, tag):
        place.stop(signal.SIGKILL)
        try:
            eventually(lambda: not in_container(tag), within=LIMIT)
        finally:
            place.start()


@pytest.mark.parametrize(
    "words", [("logs", "web-1", "-c", "app", "-f"), ("get", "pods", "-w"), ("attach", "web-1", "-c", "app")]
)
def test_after_a_revoke_nothing_is_followed(place, words):
    grant = place.grant()
    client = place.kubectl(grant, *words)
    try:
        assert client.stdout.read1(64)
        time.sleep(0.5)
        assert client.poll() is None, client.communicate()
        revoke(grant)
        eventually(lambda: client.poll() is not None, within=LIMIT)
        out, err = client.communicate()
        assert f"{grant.ref} has ended: revoked" in (out + err).decode()
    finally:
        client.kill()
        client.communicate()


@contextlib.contextmanager
def endless(place):
    """A server in the pod that sends without end. Yields a function that counts its open connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = server.accept()
                    opened.append(line)
                    threading.Thread(target=send, args=(line,), daemon=True).start()

        def send(line: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while True:
                    line.sendall(b"0123456789" * 1000)
            opened.remove(line)
            line.close()

        threading.Thread(target=serve, daemon=True).start()
        place.kubelet.ports[8080] = server.getsockname()[1]
        yield opened


def connected(port: int) -> socket.socket | None:
    with contextlib.suppress(OSError):
        return socket.create_connection(("127.0.0.1", port), timeout=allow(10))
    return None


def test_after_a_revoke_a_forwarded_port_is_closed_with_its_transfer_under_way(place):
    grant, here = place.grant(), free_port()
    with endless(place) as opened:
        client = place.kubectl(grant, "port-forward", "pod/web-1", f"{here}:8080")
        try:
            assert b"Forwarding" in client.stdout.read1(200)
            with connected(here) as line:
                assert len(line.recv(5000)) > 0
                assert len(opened) == 1
                revoke(grant)
                eventually(lambda: not opened, within=LIMIT)
        finally:
            client.kill()
            client.communicate()
    eventually(lambda: grant.runs.get(line__startswith="port-forward").state == "cut")


def test_a_refused_command_is_told_once_and_counts_once(place):
    grant = place.grant()
    done = place.run(grant, "exec", "web-1", "-c", "app", "--", "id")
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "Nearest: exec {pod} -n shop -c app -- test {kind} {tag}" in said
    assert grant.runs.filter(state="refused").count() == 1


@pytest.mark.parametrize(
    ("switches", "sent", "taken"),
    [
        ("", "", ()),
        ("&stdin=0&tty=false", "", ()),
        ("&stdin=1", "&stdin=true", (STDIN, CLOSE)),
        ("&tty=true&stdin=true", "&stdin=true&tty=true", (STDIN, CLOSE, RESIZE)),
    ],
)
def test_only_the_streams_that_were_decided_are_opened(switches, sent, taken):
    path = "/api/v1/namespaces/shop/pods/web-1/exec"
    request = read_request("GET", path, f"command=psql&container=app{switches}&timeout=5")
    assert stream_target(request, ["sh", "a b"]) == f"{path}?container=app{sent}&command=sh&command=a%20b"
    assert channels(request) == frozenset(taken)


@pytest.mark.parametrize(
    ("switches", "channel"),
    [("&stdout=true&stderr=true", STDERR), ("&stdout=true&tty=true", STDOUT), ("&stdin=true", None)],
)
def test_what_stint_says_is_in_a_stream_that_the_client_has_opened(switches, channel):
    path = "/api/v1/namespaces/shop/pods/web-1/exec"
    assert place_of_words(read_request("GET", path, f"command=psql&container=app{switches}")) == channel


@pytest.mark.parametrize("words", [exec_words("count", 0), ("attach", "web-1", "-c", "app")])
def test_no_stream_follows_a_cluster_to_another_place(place, words):
    grant = place.grant()
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.5)
        fault = Fault("GET", "/(exec|attach)", f"http://127.0.0.1:{other.getsockname()[1]}/", times=9)
        place.server.faults.append(fault)
        try:
            done = place.run(grant, *words)
        finally:
            place.server.faults.remove(fault)
        assert done.returncode == 1
        assert fault.times < 9
        with pytest.raises(TimeoutError):
            other.accept()


async def _open_streams(place, token: str, ports: list[int]) -> None:
    frames: list[bytes] = []
    session = Session(frames.append)
    for number, port in enumerate(ports):
        about = {"port": str(port), "streamtype": "data", "requestid": str(number)}
        session.open(2 * number + 1, about)
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client,
        client.ws_connect(
            f"{place.url}/api/v1/namespaces/shop/pods/web-1/portforward",
            protocols=["SPDY/3.1+portforward.k8s.io"],
            ssl=place.context,
        ) as opened,
    ):
        await opened.send_bytes(b"".join(frames))
        # Each is refused by a frame.
        async with asyncio.timeout(allow(10)):
            await opened.receive()


def test_each_port_that_is_probed_is_recorded_once_whatever_stream_it_is_probed_by(place):
    grant = place.grant()
    token, _ = place.token(grant), place.context
    asyncio.run(_open_streams(place, token, [9090, 9091, 9090]))
    refused = grant.runs.filter(state="refused")
    eventually(lambda: refused.count() == 2)
    assert sorted(run.reason.split()[1] for run in refused.all()) == ["9090", "9091"]


@pytest.mark.parametrize(
    ("said", "code"), [("7", 7), ("", None), ("x", None), ("9" * 5000, None), ("\u0663", None)]
)
def test_an_exit_status_is_a_short_number_or_not_known(said, code):
    status = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": said}]}}
    assert outcome_in(json.dumps(status).encode())[0] == code


@pytest.mark.parametrize(
    ("said", "size"),
    [(b'{"Width": 120, "Height": 40}', (120, 40)), (b'{"Width": 1e999}', (0, 0)), (b"x", (0, 0))],
)
def test_a_terminals_size_is_read_and_nonsense_is_none(said, size):
    assert size_in(said) == size

"""A browser is told when to look again, and nothing else."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from tests.environment import ROOT


def cookie_of(identity) -> str:
    """The cookie of a signed-in browser."""
    session = SessionStore()
    session[SESSION_KEY] = str(identity.pk)
    session[BACKEND_SESSION_KEY] = "accounts.backends.PasswordBackend"
    session[HASH_SESSION_KEY] = identity.get_session_auth_hash()
    session.create()
    return f"stint_session={session.session_key}"


@pytest.fixture
def streams(stint_db) -> Iterator[str]:
    """The streams process on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--port",
        str(port),
        "--log-level",
        "warning",
        "broker.asgi:application",
    ]
    process = subprocess.Popen(command, cwd=ROOT, env=stint_db.env)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{base}/healthz", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield base
    finally:
        process.terminate()
        process.wait(timeout=10)


def ask(base: str, cookie: str = ""):
    """Open the stream."""
    request = urllib.request.Request(f"{base}/streams/changes", headers={"Cookie": cookie} if cookie else {})
    return urllib.request.urlopen(request, timeout=10)


def test_a_change_of_a_grant_is_a_nudge_without_content(live_world, streams):
    from broker.kernel import clock

    with ask(streams, cookie_of(live_world.alice)) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.readline() == b"retry: 3000\n"
        stream.readline()
        live_world.grant(now=clock.now())
        assert stream.readline() == b"event: changed\n"
        assert stream.readline() == b"data: \n"


@pytest.mark.parametrize(
    "cookie", ["", "stint_session=forged", "stint_session=", "=;=", "stint_session=" + "x" * 5000]
)
def test_who_is_not_signed_in_gets_no_stream(live_world, streams, cookie):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(streams, cookie)
    assert refused.value.code == 403


def test_a_disabled_identity_gets_no_stream(live_world, streams):
    live_world.bob.is_active = False
    live_world.bob.save()
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(streams, cookie_of(live_world.bob))
    assert refused.value.code == 403


def test_there_is_nothing_else_at_that_door(live_world, streams):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{streams}/requests/", timeout=5)
    assert refused.value.code == 404

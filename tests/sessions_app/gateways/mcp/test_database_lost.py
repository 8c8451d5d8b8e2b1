"""A gateway that can't ask its database lets nobody in, and after ten seconds drops what it has open; all is told later."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sessions_app.models import Session
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.sweep.sweep import sweep
from tests.sessions_app.gateways.mcp.test_ending import Watching
from tests.support.gateway import eventually
from tests.support.mcp_place import Door, mcp_place, now
from tests.support.mcp_site import Raw, token_of
from tests.support.proxy import SOCKET, BlackHole


@pytest.fixture
def lost(django_db_setup, django_db_blocker, tmp_path) -> Iterator[tuple[Door, BlackHole]]:
    """A gateway, and its way to the database."""
    hole = tmp_path / "hole"
    hole.mkdir()
    stack = contextlib.ExitStack()
    opened: list[BlackHole] = []

    def through(env):
        real = Path(parse_qs(urlsplit(env["DATABASE_URL"]).query)["host"][0])
        opened.append(stack.enter_context(BlackHole(hole, real / SOCKET)))
        urls = (
            env["DATABASE_URL"]
            .replace(str(real), str(hole))
            .replace(str(real).replace("/", "%2F"), str(hole))
        )
        return {**env, "DATABASE_URL": urls}

    with stack, mcp_place(django_db_blocker, tmp_path, change=through) as door:
        yield door, opened[0]


def is_open(grant) -> bool:
    return Session.objects.filter(grant=grant, closed_at__isnull=True).exists()


def test_without_its_database_everything_is_dropped_and_nobody_let_in(lost):
    door, way = lost
    grant, client = door.client()
    watching = Watching(client, door.desk)
    way.freeze()
    began = time.monotonic()
    found = watching.result()
    assert time.monotonic() - began > 5
    assert "lost its database" in found["content"][0]["text"]
    assert client.call("read_ticket", {"id": "T-42"}).status == 503
    way.thaw()
    eventually(lambda: client.call("read_ticket", {"id": "T-42"}).status == 200, within=60)
    # What was dropped was reported when the database could be told.
    eventually(lambda: Session.objects.filter(grant=grant, closed_at__isnull=False).exists(), within=30)


def test_a_database_that_takes_nobody_at_the_deadline_is_told_of_the_end_when_it_is_back(lost):
    door, way = lost
    grant = door.grant(now=now() - dt.timedelta(seconds=3590))
    client = Raw(door.url, token_of(grant, door.world))
    assert client.call("read_ticket", {"id": "T-42"}).status == 200
    assert is_open(grant)
    way.refuse()
    eventually(lambda: now() > grant.expires_at + dt.timedelta(seconds=2), within=30, every=0.2)
    assert is_open(grant)
    way.take()
    # The gateway goes on, so that nobody else would close it.
    eventually(lambda: not is_open(grant), within=30)
    sweep(now=now, name="test")
    deprovision_grant(grant_id=grant.pk, now=now)
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == ("ended", "expired")


def test_a_session_of_which_the_gateway_never_heard_is_closed_and_those_in_use_are_not(lost):
    door, _ = lost
    grant, client = door.client()
    assert client.call("read_ticket", {"id": "T-42"}).status == 200
    used = Session.objects.get(grant=grant)
    # As it is when the answer to a COMMIT is lost.
    unknown = Session.objects.create(
        grant=grant, target=used.target, gateway=used.gateway, proof="token 0", opened_at=now()
    )
    eventually(lambda: Session.objects.get(pk=unknown.pk).closed_at is not None, within=10)
    assert client.call("read_ticket", {"id": "T-42"}).status == 200
    assert list(Session.objects.filter(grant=grant, closed_at__isnull=True)) == [used]

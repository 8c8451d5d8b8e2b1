"""A gateway that can't ask its database lets nobody in, and after ten seconds drops what it has open."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sessions_app.models import Session
from tests.sessions_app.gateways.mcp.test_ending import Watching
from tests.support.gateway import eventually
from tests.support.mcp_place import mcp_place
from tests.support.proxy import SOCKET, BlackHole


def test_without_its_database_everything_is_dropped_and_nobody_let_in(
    django_db_setup, django_db_blocker, tmp_path
):
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
        grant, client = door.client()
        watching = Watching(client, door.desk)
        opened[0].freeze()
        began = time.monotonic()
        found = watching.result()
        assert time.monotonic() - began > 5
        assert "lost its database" in found["content"][0]["text"]
        assert client.call("read_ticket", {"id": "T-42"}).status == 503
        opened[0].thaw()
        eventually(lambda: client.call("read_ticket", {"id": "T-42"}).status == 200, within=60)
        # What was dropped was reported when the database could be told.
        eventually(lambda: Session.objects.filter(grant=grant, closed_at__isnull=False).exists(), within=30)

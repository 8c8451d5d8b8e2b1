"""The web process as in production, and browsers that sign in to it."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.environment import ROOT
from tests.support.browser import DESK
from tests.support.world import PASSWORD

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def serve(live_world, stint_db, tmp_path) -> Iterator[Callable[..., str]]:
    """Start the web process as in production, on a database of its own, in which a sweeper counts as alive.

    With ``streams`` the streams process runs beside it, without a proxy, as on one's own machine.
    """
    from sessions_app.models import Sweeper

    Sweeper.objects.update(seen_at=live_world.now + dt.timedelta(hours=1))
    running: list[tuple[subprocess.Popen, Path]] = []

    def start(name: str, port: int, url: str, env: dict[str, str], *command: str) -> None:
        log = tmp_path / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"],
                cwd=ROOT, env=env, stdout=out, stderr=out,
            )  # fmt: skip
        running.append((process, log))
        _wait(f"http://127.0.0.1:{port}{url}", process, log)

    def run(*, streams: bool = False) -> str:
        web, other = free_port(), free_port()
        env = {**stint_db.env, "STINT_PUBLIC_URL": f"http://127.0.0.1:{web}"}
        if streams:
            env["STINT_STREAMS_DIRECT_PORT"] = str(other)
            start("streams", other, "/healthz", env, "uvicorn", "broker.asgi:application")
        start(
            "web", web, "/readyz", env, "granian", "broker.wsgi:application", "--interface", "wsgi", "--workers", "1",
            "--blocking-threads", "4", "--no-ws",
        )  # fmt: skip
        return env["STINT_PUBLIC_URL"]

    yield run
    for process, _ in running:
        process.terminate()
    for process, log in running:
        process.wait(20)
        assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def site(serve) -> str:
    """The web process alone: its pages ask on their own whether something happened."""
    return serve()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(url, process, log) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@pytest.fixture
def complaints() -> list[str]:
    """What the consoles of the browsers complain about."""
    return []


@pytest.fixture
def visit(chromium, site, complaints) -> Iterator[Callable[..., Page]]:
    """Open a browser of somebody's own, signed in; whatever its console complains about fails the test."""
    contexts = []

    def open_as(name: str, viewport=DESK, **options) -> Page:
        context = chromium.new_context(viewport=viewport, base_url=site, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning") and complaints.append(f"{page.url}: {message.text}")
            ),
        )
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.goto("/sign-in/")
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{site}/")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []

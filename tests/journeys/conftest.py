"""The web process as in production, and browsers that sign in to it."""

from __future__ import annotations

import datetime as dt
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

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
# A form that is refused is answered with its page and a status that says so, which the console repeats.
REFUSED = re.compile("the server responded with a status of (400|409|422) ")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def site(live_world, stint_db, tmp_path) -> Iterator[str]:
    """The web process as in production, on a database of its own, in which a sweeper counts as alive."""
    from sessions_app.models import Sweeper

    Sweeper.objects.update(seen_at=live_world.now + dt.timedelta(hours=1))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "web.log"
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--blocking-threads", "4", "--no-ws", "--log-level", "warning", "broker.wsgi:application",
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=stint_db.env, stdout=out, stderr=out)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/readyz", process, log)
        yield url
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.terminate()
        process.wait(20)


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
def visit(chromium, site) -> Iterator[Callable[..., Page]]:
    """Open a browser of somebody's own, signed in; whatever its console complains about fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_as(name: str, viewport=DESK, **options) -> Page:
        context = chromium.new_context(viewport=viewport, base_url=site, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning")
                and not REFUSED.search(message.text)
                and complaints.append(f"{page.url}: {message.text}")
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

"""The web process as in production, and browsers that sign in to it."""

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import fresh_database
from tests.sessions_app.gateways.conftest import make_place
from tests.support.browser.screens import DESK
from tests.support.browser.site import serve as running_site
from tests.support.browser.site import sign_in, start_chromium
from tests.support.browser.stage import Stage
from tests.support.servers.gateway import Place
from tests.support.world.scene import make_scene

# A rejected form is shown again with an error status, which the console logs.
REFUSED = re.compile("the server responded with a status of (400|409|422) ")


# Long, because the machine may be busy; each wait ends as soon as its condition is true.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def chromium(browsers) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = start_chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture
def serve(processes, live_world, stint_db, tmp_path) -> Iterator[Callable[..., str]]:
    """Start the web process, and with ``streams`` the streams process, with a sweeper that counts as
    alive.
    """
    from sessions_app.models import Sweeper

    Sweeper.objects.update(seen_at=live_world.now + dt.timedelta(hours=1))
    with contextlib.ExitStack() as stack:
        yield lambda **more: stack.enter_context(running_site(stint_db.env, tmp_path, **more))


@pytest.fixture
def site(serve) -> str:
    """Run only the web process: its pages poll for changes."""
    return serve()


@pytest.fixture
def complaints() -> list[str]:
    """Collect the errors and warnings of the browsers' consoles."""
    return []


@pytest.fixture
def visit(chromium, site, complaints) -> Iterator[Callable[..., Page]]:
    """Open a signed-in browser for a person. Any console error that is not ``forgiven`` fails
    the test.
    """
    contexts = []

    def open_as(name: str, viewport=DESK, *, forgiven: str = "\0", **options) -> Page:
        # Animations would be drawn sixty times a second as long as the page is open.
        context = chromium.new_context(
            viewport=viewport, base_url=site, **{"reduced_motion": "reduce", **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning")
                and forgiven not in message.text
                and not REFUSED.search(message.text)
                and complaints.append(f"{page.url}: {message.text}")
            ),
        )
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        sign_in(page, name)
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def stage(chromium, django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Stage]:
    """Serve the scene for all tests of a file, which must not change it."""
    from broker.kernel import clock

    folder = tmp_path_factory.mktemp("stage")
    with fresh_database(django_db_blocker) as database:
        clock.sync()
        scene = make_scene(clock.now(), folder)
        with running_site({**database.env, "STINT_RECORDINGS_DIR": str(folder)}, folder) as site:
            made = Stage(scene, site, chromium)
            yield made
            made.close()


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """Run a live gateway with its targets, for all tests of a file."""
    with django_db_blocker.unblock():
        yield from make_place(tmp_path_factory)

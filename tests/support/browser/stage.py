"""A web process that serves the scene, and browsers of people who view it."""

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Error, Page

from tests.support.browser.screens import DESK
from tests.support.browser.site import sign_in
from tests.support.world.scene import Scene


@dataclass
class Stage:
    """A scene, and the URL at which it is served."""

    scene: Scene
    site: str
    browser: Browser
    contexts: list[Any] = field(default_factory=list)
    pages: dict[str | None, Page] = field(default_factory=dict)

    def enter(self, who: str | None, **options) -> Page:
        """Return a page in a new browser of this person, signed in."""
        context = self.browser.new_context(
            base_url=self.site, viewport=DESK, reduced_motion="reduce", has_touch=True, **options
        )
        self.contexts.append(context)
        page = context.new_page()
        if who:
            sign_in(page, who)
        return page

    def page(self, who: str | None) -> Page:
        """Return the person's page, which all tests share one after the other."""
        if who not in self.pages:
            self.pages[who] = self.enter(who)
        return self.pages[who]

    def close(self) -> None:
        for context in self.contexts:
            context.close()


def go(page: Page, url: str) -> Any:
    """Open an address, and return the response. A file is fetched, because a browser would download it."""
    try:
        return page.goto(url, wait_until="load")
    except Error as error:
        if "Download is starting" not in error.message:
            raise
    answer = page.request.get(url)
    assert answer.status == 200, (url, answer.status)
    return answer


def is_shown(page: Page, url: str) -> bool:
    """Whether a browser displays the response of an address."""
    answer = page.request.get(url)
    return answer.status not in (204, 405) and "text/html" in answer.headers.get("content-type", "")


def is_page(page: Page) -> bool:
    """Whether it is a whole page, not a fragment."""
    return bool(page.evaluate("!!document.doctype"))


def lines(found: list[str]) -> str:
    """Return the findings without duplicates, one a line."""
    return "\n".join(("", *dict.fromkeys(found)))

"""The scene on a stage: a web process that shows it, and browsers of people who look."""

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Error, Page

from tests.support.browser.screens import DESK
from tests.support.browser.site import sign_in
from tests.support.world.scene import Scene


@dataclass
class Stage:
    """A scene, and the address at which it is shown."""

    scene: Scene
    site: str
    browser: Browser
    contexts: list[Any] = field(default_factory=list)
    pages: dict[str | None, Page] = field(default_factory=dict)

    def enter(self, who: str | None, **options) -> Page:
        """A browser of somebody's own, signed in."""
        context = self.browser.new_context(
            base_url=self.site, viewport=DESK, reduced_motion="reduce", has_touch=True, **options
        )
        self.contexts.append(context)
        page = context.new_page()
        if who:
            sign_in(page, who)
        return page

    def page(self, who: str | None) -> Page:
        """One and the same page of somebody, for all who look one after the other."""
        if who not in self.pages:
            self.pages[who] = self.enter(who)
        return self.pages[who]

    def close(self) -> None:
        for context in self.contexts:
            context.close()


def go(page: Page, url: str) -> Any:
    """Open an address, and return the answer; a file is fetched, for a browser would keep it instead of showing it."""
    try:
        return page.goto(url, wait_until="load")
    except Error as error:
        if "Download is starting" not in error.message:
            raise
    answer = page.request.get(url)
    assert answer.status == 200, (url, answer.status)
    return answer


def is_shown(page: Page, url: str) -> bool:
    """Whether an address answers with something that a browser shows."""
    answer = page.request.get(url)
    return answer.status not in (204, 405) and "text/html" in answer.headers.get("content-type", "")


def is_page(page: Page) -> bool:
    """Whether it is a whole page, and not a fragment of one."""
    return bool(page.evaluate("!!document.doctype"))


def lines(found: list[str]) -> str:
    """What was found, each once, on lines of its own."""
    return "\n".join(("", *dict.fromkeys(found)))

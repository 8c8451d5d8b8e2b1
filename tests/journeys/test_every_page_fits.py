"""Every page in a real browser: no console errors, no broken links, and it fits every screen."""

import itertools
import re
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Page, Response

from tests.sessions_app.web.pages import OPEN, PUBLIC, asking, open_address, walk
from tests.support.breadth import FULL
from tests.support.browser.fits import misfits
from tests.support.browser.stage import go, is_page, is_shown, lines

# The reader who sees most is first.
PEOPLE = ("admin", "alice", "bob", "charlie")
# Pages that only a form leads to.
FURTHER = {"admin": ["/welcome/done/"]}
# A page that fits for one reader is not measured for the next; in `make test-all`, it is.
_measured: set[str] = set()


class Watch:
    """Collects the errors and warnings of a page."""

    def __init__(self, page: Page) -> None:
        self.page, self.found = page, []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(f"an error: {error}"))
        page.on("response", self._response)
        page.on("dialog", lambda dialog: (self._note(f"a dialog: {dialog.message}"), dialog.dismiss()))

    def _console(self, message) -> None:
        if message.type in ("error", "warning") and not _is_icon(message.location["url"]):
            self._note(f"{message.type}: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not _is_icon(response.url):
            self._note(f"{response.status} for {response.url}")

    def _note(self, text: str) -> None:
        self.found.append(f"{urlsplit(self.page.url).path}: {text}")


def _is_icon(url: str) -> bool:
    """Whether it is the icon that the browser requests for a fragment, which names none."""
    return urlsplit(url).path == "/favicon.ico"


def _shapes(url: str) -> set[str]:
    """Return the shapes of a URL: the page, and the page with each of its query parameters.

    The tenth grant has the same shape as the second; a table by cluster and day has those by cluster and by
    day.
    """
    parts = urlsplit(url)
    path = re.sub(r"(?<=/)(REQ|GR)-\w+|(?<=/)\d+(?=/|$)", "…", parts.path)
    path = re.sub(r"^/(clusters|command-sets|policies|people|workflows)/[^/]+/", r"/\1/…/", path)
    return {path, *(f"{path}?{name}" for name in re.findall(r"([^&=]+)=", parts.query))}


def _links(page: Page) -> list[str]:
    """Return the links of the page, including those in SVG, without fragments."""
    found = page.evaluate(
        "[...document.querySelectorAll('a[href]')].map(a => new URL(a.getAttribute('href'),"
        " document.baseURI).href)"
    )
    return [url.split("#")[0] for url in found]


@pytest.mark.parametrize("who", PEOPLE)
def test_no_page_complains_and_no_link_leads_nowhere_and_all_fits_every_screen(stage, who):
    page = stage.enter(who)
    watch = Watch(page)
    known = [*itertools.chain(*walk(stage.scene, who).values()), *FURTHER.get(who, [])]
    known += asking(stage.scene, who)
    waiting = [urljoin(stage.site, url) for url in known]
    seen, shapes, badly = set(), set(), []
    listed = set(waiting)
    while waiting:
        url = waiting.pop(0)
        new = _shapes(url) - shapes
        if url in seen or (url not in listed and not new):
            continue
        seen.add(url)
        shapes |= new
        places = {f"{who} {url}"} if FULL and url in listed else _shapes(url)
        if not FULL and places <= _measured:
            continue
        answer = go(page, url)
        if answer is None or "text/html" not in answer.headers.get("content-type", ""):
            continue
        if not places <= _measured and is_page(page):
            _measured.update(places)
            badly += misfits(page)
        waiting += [link for link in _links(page) if link.startswith(stage.site) and link not in seen]
    assert not watch.found, lines(watch.found)
    assert not badly, lines(badly)


@pytest.mark.parametrize("name", sorted({*OPEN, *PUBLIC}))
def test_a_page_for_everybody_fits_every_screen(stage, name):
    page = stage.page("alice" if name == "account_logout" else None)
    if is_shown(page, open_address(name)):
        page.goto(open_address(name))
        assert not (badly := misfits(page)), lines(badly)

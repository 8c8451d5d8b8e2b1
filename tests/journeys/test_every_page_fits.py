"""Every page of the list in a real browser: it complains of nothing, leads nowhere wrong, and fits every screen."""

from __future__ import annotations

import itertools
import re
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Page, Response

from tests.sessions_app.web.pages import walk
from tests.support.browser import DESK, SMALLEST
from tests.support.stage import go, is_page, lines

PEOPLE = ("alice", "bob", "charlie", "admin")
# What only its own form leads to.
FURTHER = {"admin": ["/welcome/done/"]}
# What is found by following links, and fits for one person, is not measured again for the next.
_measured: set[str] = set()
SMALL = """
() => [...document.querySelectorAll('a[href], button, summary, select, textarea, .seg label, input:not([type=hidden])')].filter(el => {
  const style = getComputedStyle(el), box = el.getBoundingClientRect();
  if (!box.width || !el.checkVisibility({visibilityProperty: true}) || style.clipPath !== 'none') return false;
  // A link in a sentence is as high as its line (WCAG 2.5.8), and a box to tick is as large as its label.
  // The player of recordings is vendored as it is; its buttons have 32 px.
  if (style.display === 'inline' || el.closest('svg, .skip, .vh, .ap-player')) return false;
  const label = el.closest('label'), target = label ? label.getBoundingClientRect() : box;
  return target.height < 43.9;
}).map(el => `${el.tagName.toLowerCase()}.${el.className} “${(el.textContent || el.name || '').trim().slice(0, 40)}” `
  + `${Math.round(el.getBoundingClientRect().height)}px`)
"""
WIDE = """
() => [...document.querySelectorAll('body *')].filter(el => el.getBoundingClientRect().right > innerWidth + 1
  && !el.closest('.vh, .skip') && el.checkVisibility())
  .map(el => `${el.tagName.toLowerCase()}.${el.className}`).slice(-3)
"""


class Watch:
    """Notes whatever a page complains about."""

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
    """Whether it is what the browser asks for by itself beside a fragment, which names no icon of its own."""
    return urlsplit(url).path == "/favicon.ico"


def _shapes(url: str) -> set[str]:
    """What addresses of the same page have in common: the page, and the page with each of its questions.

    The tenth grant looks as the second, and a table by cluster and by day as one by cluster and one by day.
    """
    parts = urlsplit(url)
    path = re.sub(r"(?<=/)(REQ|GR)-\w+|(?<=/)\d+(?=/|$)", "…", parts.path)
    path = re.sub(r"^/(clusters|command-sets|policies|people|workflows)/[^/]+/", r"/\1/…/", path)
    return {path, *(f"{path}?{name}" for name in re.findall(r"([^&=]+)=", parts.query))}


def _links(page: Page) -> list[str]:
    """Where the page leads, links in drawings included, without the places inside pages."""
    found = page.evaluate(
        "[...document.querySelectorAll('a[href]')].map(a => new URL(a.getAttribute('href'), document.baseURI).href)"
    )
    return [url.split("#")[0] for url in found]


@pytest.mark.parametrize("who", PEOPLE)
def test_no_page_complains_and_no_link_leads_nowhere_and_all_fits_every_screen(stage, who):
    page = stage.enter(who)
    watch = Watch(page)
    known = [*itertools.chain(*walk(stage.scene, who).values()), *FURTHER.get(who, [])]
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
        answer = go(page, url)
        if answer is None or "text/html" not in answer.headers.get("content-type", ""):
            continue
        places = {f"{who} {url}"} if url in listed else new
        if not places <= _measured and is_page(page):
            _measured.update(places)
            badly += _fits(page)
        waiting += [link for link in _links(page) if link.startswith(stage.site) and link not in seen]
    assert not watch.found, lines(watch.found)
    assert not badly, lines(badly)


def _fits(page: Page) -> list[str]:
    """What is too wide for a desk or the smallest screen, or too small for a thumb; the page comes from a desk."""
    where = urlsplit(page.url).path
    found = _sideways(page, where)
    page.set_viewport_size(SMALLEST)
    found += _sideways(page, where)
    found += [f"{where}: {small}" for small in page.evaluate(SMALL)]
    page.set_viewport_size(DESK)
    return found


def _sideways(page: Page, where: str) -> list[str]:
    width = page.viewport_size["width"]
    if page.evaluate("document.documentElement.scrollWidth") <= width:
        return []
    return [f"{where} scrolls sideways at {width}: {page.evaluate(WIDE)}"]

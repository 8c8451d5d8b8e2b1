"""The guides and the reference: their lists, their pages, and their search."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse

from sessions_app.web.docs.markdown import Document, Section, read_document
from sessions_app.web.docs.reference.pages import pages

FOLDER = settings.BASE_DIR / "templates" / "docs"
# In reading order: tutorials, everyday use, operation, then background.
SHELVES = {
    "Tutorials": (
        "first-ssh-target",
        "files",
        "postgres",
        "mariadb",
        "http",
        "kubernetes",
        "agents",
        "mcp",
        "machines",
    ),
    "Use Stint": ("approvers", "on-call", "cli", "api"),
    "Decide who gets what": ("command-sets", "policies", "workflows"),
    "Run Stint": (
        "installation",
        "deploying",
        "high-availability",
        "security",
        "backup",
        "upgrading",
        "monitoring",
        "evidence",
        "troubleshooting",
    ),
    "Understand Stint": ("concepts", "compared", "coming-from", "faq"),
}
# The length of an excerpt in characters, and the maximum number of results.
EXCERPT, MOST = 160, 30


# Names that only reference entries have, such as `not_found` and `grant.ended`.
_IDENTIFIER = re.compile(r"[A-Za-z0-9-]+[_.][A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Guide:
    """One guide or one reference page. ``name`` is the file name without `.md`, or the name of the reference
    page.
    """

    name: str
    document: Document
    view: str = "guide"

    @property
    def title(self) -> str:
        """Return the guide's level-1 heading."""
        return self.document.title

    @property
    def url(self) -> str:
        """Return the guide's address."""
        return reverse(self.view, args=[self.name])

    @property
    def contents(self) -> list[Section]:
        """Return the sections for the table of contents."""
        return [section for section in self.document.sections if section.level == 2]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Guides under one heading."""

    title: str
    guides: list[Guide]


@dataclass(frozen=True, slots=True)
class Found:
    """A section that contains all words of a search."""

    guide: Guide
    section: Section
    excerpt: str

    @property
    def url(self) -> str:
        """Return the address of the section."""
        return f"{self.guide.url}#{self.section.anchor}" if self.section.anchor else self.guide.url


@dataclass(frozen=True, slots=True)
class GuidePage:
    """A guide, with the previous and the next one."""

    guide: Guide
    before: Guide | None
    after: Guide | None


@functools.cache
def shelves() -> list[Shelf]:
    """Return all guides, grouped by heading."""
    return [Shelf(title, [_read(name) for name in names]) for title, names in SHELVES.items()]


def guide_page(name: str) -> GuidePage | None:
    """Return a guide by its name; None if there is none."""
    guides = [guide for shelf in shelves() for guide in shelf.guides]
    at = next((number for number, guide in enumerate(guides) if guide.name == name), None)
    if at is None:
        return None
    return GuidePage(guides[at], guides[at - 1] if at else None, next(iter(guides[at + 1 :]), None))


@functools.cache
def reference() -> list[Guide]:
    """Return all pages of the reference."""
    return [Guide(page.name, page.document(), "reference") for page in pages()]


def reference_page(name: str) -> Guide | None:
    """Return a reference page by its name; None if there is none."""
    return next((page for page in reference() if page.name == name), None)


def entry_named(text: str) -> Found | None:
    """Return the reference entry with this name, such as a setting or an error code; None unless exactly one
    matches.
    """
    if not _IDENTIFIER.fullmatch(text):
        return None
    found = [one for one in search_guides(text) if _is_named(one, text) and one.guide.view == "reference"]
    return found[0] if len(found) == 1 else None


def search_guides(text: str) -> list[Found]:
    """Return the sections that contain all words, ignoring case. Sections with exactly this name come first,
    then those with the words in their titles.
    """
    words = text.casefold().split()
    found = [
        Found(guide, section, _excerpt(section.text, words))
        for guide in (*(guide for shelf in shelves() for guide in shelf.guides), *reference())
        for section in guide.document.sections
        if words and _has(f"{guide.title} {section.title} {section.text}", words)
    ]
    found.sort(
        key=lambda one: (not _is_named(one, text), not _has(f"{one.guide.title} {one.section.title}", words))
    )
    return found[:MOST]


def _is_named(one: Found, text: str) -> bool:
    return one.section.title.casefold() == text.casefold()


def _read(name: str) -> Guide:
    return Guide(name, read_document((FOLDER / f"{name}.md").read_text(encoding="utf-8")))


def _has(text: str, words: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _excerpt(text: str, words: list[str]) -> str:
    """Return the text around the first match."""
    plain = " ".join(text.split())
    at = min((place for word in words if (place := plain.casefold().find(word)) >= 0), default=0)
    start = max(0, at - EXCERPT // 3)
    return "".join(
        _ellipses(plain[start : start + EXCERPT], before=start > 0, after=start + EXCERPT < len(plain))
    )


def _ellipses(text: str, *, before: bool, after: bool) -> Iterator[str]:
    if before:
        yield "… "
    yield text.strip()
    if after:
        yield " …"

"""The building blocks of the reference's pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.template.loader import render_to_string
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from sessions_app.web.docs.markdown import Document, Section, render_line, render_text

_BUTTON = re.compile(r"<button.*?</button>", re.DOTALL)
_LINK_TEXT = re.compile(r"[^a-z0-9._-]+")


def anchor_of(title: str) -> str:
    """Return the anchor of a title: its lowercase letters, digits, `.`, `_` and `-`."""
    return _LINK_TEXT.sub("-", title.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Entry:
    """One item: its name, its meaning in Markdown, and facts about it, each a label and a line of
    Markdown.
    """

    title: str
    text: str
    facts: Sequence[tuple[str, str]] = ()
    anchor: str = ""

    @property
    def place(self) -> str:
        """Return the entry's anchor."""
        return self.anchor or anchor_of(self.title)

    @property
    def html(self) -> SafeString:
        """Return the entry's meaning as HTML."""
        return render_text(self.text)

    @property
    def lines(self) -> Iterator[tuple[str, SafeString]]:
        """Yield the entry's facts."""
        yield from ((label, render_line(fact)) for label, fact in self.facts)


@dataclass(frozen=True, slots=True)
class Part:
    """Entries under one heading, with an introduction in Markdown."""

    title: str
    entries: Sequence[Entry]
    text: str = ""

    @property
    def place(self) -> str:
        """Return the section's anchor, which differs from all entries' anchors."""
        return f"part-{anchor_of(self.title)}"

    @property
    def html(self) -> SafeString:
        """Return the section's introduction as HTML."""
        return render_text(self.text)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the reference. ``summary`` is a line of Markdown, which the index also shows."""

    name: str
    title: str
    summary: str
    parts: Sequence[Part] = field(default=())

    @property
    def entries(self) -> list[Entry]:
        """Return all entries, in order."""
        return [entry for part in self.parts for entry in part.entries]

    @property
    def lead(self) -> SafeString:
        """Return the summary as HTML."""
        return render_line(self.summary)

    def document(self) -> Document:
        """Render the page like a guide."""
        html = render_to_string("docs/_entries.html", {"page": self})
        return Document(self.title, _plain(self.lead), SafeString(html), tuple(self._sections()))

    def _sections(self) -> Iterator[Section]:
        yield Section(self.title, "", 1, _plain(self.lead))
        for part in self.parts:
            yield Section(part.title, part.place, 2, _plain(part.html))
            for entry in part.entries:
                facts = " ".join(f"{label}: {strip_tags(fact)}." for label, fact in entry.lines)
                text = f"{_plain(entry.html)} {facts}"
                yield Section(entry.title, entry.place, 3, text)


def _plain(html: str) -> str:
    return strip_tags(_BUTTON.sub("", html))

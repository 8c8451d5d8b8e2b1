"""The history page: every version of one catalog document, and the difference between two versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse

from accounts.models import Identity
from sessions_app.models import DocumentVersion
from sessions_app.policy.commands.diff import Change
from sessions_app.policy.document_diff import diff_any
from sessions_app.queries.catalog.history import difference
from sessions_app.web.display.states import Linked, line_style
from sessions_app.web.forms.documents import PLACE_OF_NOUN

FEW_LINES = 40


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version in the list: whether the version is selected, the query that selects it, and who created
    it.
    """

    version: DocumentVersion
    current: bool
    query: str
    by: Linked


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The versions of one document, newest first, and the diff lines between two versions, each with its
    style.
    """

    name: str
    versions: Sequence[DocumentVersion]
    older: DocumentVersion | None
    newer: DocumentVersion
    changes: Sequence[Change]
    lines: Sequence[tuple[str, str]]
    rows: Sequence[VersionRow]

    @property
    def short(self) -> bool:
        """Whether the diff is short enough to show in full."""
        return len(self.lines) <= FEW_LINES

    @property
    def heading(self) -> str:
        """The title of the page."""
        return f"History of {self.name}"

    @property
    def compared(self) -> str:
        """The versions that are compared."""
        return (
            f"Version {self.older.number} to {self.newer.number}"
            if self.older
            else f"Version {self.newer.number}"
        )

    @property
    def crumbs(self) -> Sequence[Linked]:
        """The breadcrumbs. A removed document has no page to link to."""
        newest = self.versions[0]
        place = PLACE_OF_NOUN.get(newest.type)
        if place is None:
            first, own = Linked("People and machines", reverse("people")), ""
        else:
            first = Linked(place.title, place.list_url)
            own = place.url_of(self.name) if place.has_page and newest.document else ""
        return [first, Linked(self.name, own), Linked("History")]


def history_page(
    name: str, versions: Sequence[DocumentVersion], *, older: int | None, newer: int | None
) -> HistoryPage:
    """Return the history of a document, with the diff between the versions with the given numbers, or else
    the last two.
    """
    by_number = {version.number: version for version in versions}
    after = by_number.get(newer or 0, versions[0])
    previous = by_number.get(after.number - 1)
    before = None if older == 0 else by_number.get(older or 0, previous)
    people = Identity.objects.in_bulk({version.by_id for version in versions if version.by_id})
    return HistoryPage(
        name=name,
        versions=versions,
        older=before,
        newer=after,
        changes=diff_any(before.document if before else None, after.document),
        # Leave out the diff's file header, because the page's heading names the versions.
        lines=[(line_style(line), line) for line in difference(before, after)[2:]],
        rows=[
            VersionRow(
                one, one.number == after.number, f"?from={one.number - 1}&to={one.number}", _by(one, people)
            )
            for one in versions
        ],
    )


def _by(version: DocumentVersion, people: dict[int, Identity]) -> Linked:
    person = people.get(version.by_id) if version.by_id else None
    return Linked(str(person), reverse("person", args=[person.username])) if person else Linked(version.by)

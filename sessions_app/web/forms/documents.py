"""The pages of each kind of catalog document, and their shared editor."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from accounts.models import Identity
from sessions_app.operations.catalog.document_state import NOUN, state_of
from sessions_app.operations.catalog.remove_document import Kind
from sessions_app.web.display.states import Linked
from sessions_app.web.forms.editor import Typed, sent
from sessions_app.web.forms.saving import SaveResult, press, said
from sessions_app.web.layout.views import who

Row_co = TypeVar("Row_co", bound=Model, covariant=True)


class _Administered(Protocol[Row_co]):
    """A queryset of one kind of catalog document."""

    def administered_by(self, identity: Identity) -> QuerySet[Row_co]: ...


class DocumentPages(NamedTuple):
    """The pages for a kind. ``listed`` is the URL name of the list, and ``stem`` is the stem of the other URL
    names. ``has_page`` means that a document can be viewed without the editor.
    """

    kind: Kind
    title: str
    listed: str
    stem: str
    has_page: bool = True

    @property
    def noun(self) -> str:
        """The noun for one document of the kind."""
        return NOUN[self.kind]

    @property
    def new_label(self) -> str:
        """The label of the button that creates a document."""
        return f"New {self.noun}"

    @property
    def new_url(self) -> str:
        """The address of the page that creates a document."""
        return reverse(f"{self.stem}_new")

    @property
    def list_url(self) -> str:
        """The address of the list."""
        return reverse(self.listed)

    def url_of(self, name: str) -> str:
        """Return the address of a document's page."""
        return reverse(self.stem if self.has_page else f"{self.stem}_edit", args=[name])


PLACES: dict[Kind, DocumentPages] = {
    place.kind: place
    for place in (
        DocumentPages("policies", "Policies", "policies", "policy"),
        DocumentPages("clusters", "Clusters", "clusters", "cluster"),
        DocumentPages("command-sets", "Command sets", "command_sets", "command_set"),
        DocumentPages("webhooks", "Webhooks", "webhooks", "webhook"),
        DocumentPages("workflow-sources", "Workflow sources", "sources", "source"),
        DocumentPages("trust-policies", "Trust policies", "trust_policies", "trust_policy", has_page=False),
    )
}
PLACE_OF_NOUN = {place.noun: place for place in PLACES.values()}


@dataclass(frozen=True, slots=True)
class Editing:
    """One document in its editor. ``name`` is empty for a new document. ``based_on`` identifies the version
    that was opened.
    """

    place: DocumentPages
    name: str
    typed: Typed
    outcome: SaveResult
    based_on: str
    here: str

    @property
    def heading(self) -> str:
        """The title of the page."""
        return f"Edit {self.name}" if self.name else self.place.new_label

    @property
    def label(self) -> str:
        """The label of the text field."""
        return f"{self.place.noun.capitalize()} (YAML)"

    @property
    def crumbs(self) -> list[Linked]:
        """The breadcrumbs. The last breadcrumb has no link."""
        first = Linked(self.place.title, self.place.list_url)
        if not self.name:
            return [first, Linked("New")]
        if not self.place.has_page:
            return [first, Linked(self.name)]
        return [first, Linked(self.name, self.place.url_of(self.name)), Linked("Edit")]

    @property
    def save(self) -> str:
        """The label of the Save button."""
        return "Save" if self.name else f"Create {self.place.noun}"

    @property
    def leave_url(self) -> str:
        """The address of the Cancel link."""
        return self.place.url_of(self.name) if self.name and self.place.has_page else self.place.list_url

    @property
    def error(self) -> object:
        """The error that prevented saving; None if it is shown at the lines of the text."""
        return None if self.typed.problems else self.outcome.error


def list_documents(
    request: HttpRequest, kind: Kind, rows: Collection[Any], template: str, **more: Any
) -> HttpResponse:
    """Render the list of all documents of a kind. Stint administrators can create more."""
    context = {"place": PLACES[kind], "rows": rows, "may_create": who(request).is_superuser, **more}
    return render(request, template, context)


def administered(request: HttpRequest, rows: _Administered[Row_co], name: str) -> Row_co:
    """Return the row with this name if the reader administers it. Raises Http404 for any other."""
    return get_object_or_404(rows.administered_by(who(request)), name=name)


def editing(request: HttpRequest, kind: Kind, name: str | None, typed: Typed, outcome: SaveResult) -> Editing:
    """Return the content of a document's editor. A submitted form includes the version that it is based
    on.
    """
    based_on = request.POST.get("based_on") or (state_of(kind, name) if name else "")
    return Editing(PLACES[kind], name or "", typed, outcome, based_on, edited_at(request, PLACES[kind], name))


def edited_at(request: HttpRequest, place: DocumentPages, name: str | None) -> str:
    """Return the address to which the editor's form is sent, even if the page is the response to another
    form.
    """
    own = reverse(f"{place.stem}_edit", args=[name]) if name else request.path
    return request.get_full_path() if request.path == own else own


def edit_document(
    request: HttpRequest,
    *,
    kind: Kind,
    name: str | None,
    source: str,
    template: str,
    pressed: bool = True,
    status: int | None = None,
    **more: Any,
) -> HttpResponse:
    """Render a document's editor: save the text that was sent, or show ``source``.

    If another form on the page was sent, ``pressed`` is False and ``status`` is the HTTP status.
    """
    outcome = SaveResult()
    if request.method == "POST" and pressed:
        source = sent(request.POST)
        outcome = press(request, kind=kind, source=source, name=name)
    if outcome.saved and outcome.plan:
        return _saved(request, PLACES[kind], outcome, name)
    typed = Typed(source, outcome.problems)
    edit = editing(request, kind, name, typed, outcome)
    context = {"edit": edit, "typed": typed, "outcome": outcome, "error": outcome.error, **more}
    return render(request, template, context, status=status or outcome.status)


def _saved(request: HttpRequest, place: DocumentPages, outcome: SaveResult, name: str | None) -> HttpResponse:
    changes = outcome.plan.changes if outcome.plan else ()
    saved = name or next((change.name for change in changes), "")
    messages.success(request, said(outcome, saved))
    return redirect(place.url_of(saved) if saved and place.has_page else place.list_url)

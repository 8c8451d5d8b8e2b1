"""Where each kind of document of the catalogue stands among the pages, and the editor that all of them share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from sessions_app.operations.catalogue.remove_document import Kind
from sessions_app.operations.catalogue.save_document import NOUN, state_of
from sessions_app.web.shell.doors import who
from sessions_app.web.shell.editor import Typed, sent
from sessions_app.web.shell.saving import Outcome, press, said
from sessions_app.web.shell.words import Linked


class Place(NamedTuple):
    """The pages of a kind: ``listed`` names that of all, ``stem`` begins the names of the others. ``has_page``: one can be
    read without being edited.
    """

    kind: Kind
    title: str
    listed: str
    stem: str
    has_page: bool = True

    @property
    def noun(self) -> str:
        """What one is called."""
        return NOUN[self.kind]

    @property
    def new_label(self) -> str:
        """The button that makes one."""
        return f"New {self.noun}"

    @property
    def new_url(self) -> str:
        """The page that makes one."""
        return reverse(f"{self.stem}_new")

    @property
    def list_url(self) -> str:
        """The page of all."""
        return reverse(self.listed)

    def url_of(self, name: str) -> str:
        """Return the page of one."""
        return reverse(self.stem if self.has_page else f"{self.stem}_edit", args=[name])


PLACES: dict[Kind, Place] = {
    place.kind: place
    for place in (
        Place("policies", "Policies", "policies", "policy"),
        Place("clusters", "Clusters", "clusters", "cluster"),
        Place("command-sets", "Command sets", "command_sets", "command_set"),
        Place("webhooks", "Webhooks", "webhooks", "webhook"),
        Place("workflow-sources", "Workflow sources", "sources", "source"),
        Place("trust-policies", "Trust policies", "trust_policies", "trust_policy", has_page=False),
    )
}
PLACE_OF_NOUN = {place.noun: place for place in PLACES.values()}


@dataclass(frozen=True, slots=True)
class Editing:
    """One document in its editor. ``name`` is empty while it is new; ``based_on`` is the state that it was opened in."""

    place: Place
    name: str
    typed: Typed
    outcome: Outcome
    based_on: str
    here: str

    @property
    def heading(self) -> str:
        """What the page is called."""
        return f"Edit {self.name}" if self.name else self.place.new_label

    @property
    def label(self) -> str:
        """What the field of the text is called."""
        return f"{self.place.noun.capitalize()} (YAML)"

    @property
    def crumbs(self) -> list[Linked]:
        """The way to the page; its last step has no address."""
        first = Linked(self.place.title, self.place.list_url)
        if not self.name:
            return [first, Linked("New")]
        if not self.place.has_page:
            return [first, Linked(self.name)]
        return [first, Linked(self.name, self.place.url_of(self.name)), Linked("Edit")]

    @property
    def save(self) -> str:
        """The button that saves."""
        return "Save" if self.name else f"Create {self.place.noun}"

    @property
    def leave_url(self) -> str:
        """Where Cancel leads."""
        return self.place.url_of(self.name) if self.name and self.place.has_page else self.place.list_url

    @property
    def error(self) -> object:
        """Why nothing was saved, where no line of the text says it."""
        return None if self.typed.problems else self.outcome.error


def list_documents(
    request: HttpRequest, kind: Kind, rows: Collection[Any], template: str, **more: Any
) -> HttpResponse:
    """Answer the page of all of a kind; administrators of Stint may make more."""
    context = {"place": PLACES[kind], "rows": rows, "may_create": who(request).is_superuser, **more}
    return render(request, template, context)


def editing(request: HttpRequest, kind: Kind, name: str | None, typed: Typed, outcome: Outcome) -> Editing:
    """Return what the editor of a document shows; a form that was sent says itself what it was written from."""
    based_on = request.POST.get("based_on") or (state_of(kind, name) if name else "")
    return Editing(PLACES[kind], name or "", typed, outcome, based_on, edited_at(request, PLACES[kind], name))


def edited_at(request: HttpRequest, place: Place, name: str | None) -> str:
    """Return where the editor's form goes, also where another form of the page was sent."""
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
    """Answer the editor of one document: save what was sent, or show ``source``. ``pressed`` is False for a form beside the
    editor, whose ``status`` is the page's.
    """
    outcome = Outcome()
    if request.method == "POST" and pressed:
        source = sent(request.POST)
        outcome = press(request, kind=kind, source=source, name=name)
    if outcome.saved and outcome.plan:
        return _saved(request, PLACES[kind], outcome, name)
    typed = Typed(source, outcome.problems)
    edit = editing(request, kind, name, typed, outcome)
    context = {"edit": edit, "typed": typed, "outcome": outcome, "error": outcome.error, **more}
    return render(request, template, context, status=status or outcome.status)


def _saved(request: HttpRequest, place: Place, outcome: Outcome, name: str | None) -> HttpResponse:
    changes = outcome.plan.changes if outcome.plan else ()
    saved = name or next((change.name for change in changes), "")
    messages.success(request, said(outcome, saved))
    return redirect(place.url_of(saved) if saved and place.has_page else place.list_url)

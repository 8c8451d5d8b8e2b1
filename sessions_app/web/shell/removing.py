"""Taking something out of the catalogue from a page: what ends is said first, and a second press ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.kernel import clock
from sessions_app.models import AccessPolicy, Grant
from sessions_app.operations.catalogue.remove_document import Kind, remove_document
from sessions_app.web.shell.documents import PLACES
from sessions_app.web.shell.doors import who
from sessions_app.web.shell.saving import ending
from sessions_app.web.shell.words import plural

KEPT = "No one can request it anymore. Its requests and grants stay in the record."


@dataclass(frozen=True, slots=True)
class Removal:
    """How one kind of thing is removed: ``says`` what that means before, ``done`` what it meant after."""

    kind: Kind
    done: str
    says: str = KEPT


@dataclass(frozen=True, slots=True)
class RemovalPage:
    """What a second press removes and ends. ``tokens`` counts the API tokens that a trust policy gave."""

    removal: Removal
    name: str
    ends: Sequence[Grant]
    told: str
    policies: Sequence[AccessPolicy]
    tokens: int

    @property
    def heading(self) -> str:
        """What is asked."""
        return f"Remove the {PLACES[self.removal.kind].noun} {self.name}?"

    @property
    def button(self) -> str:
        """What the second press does."""
        also = f" and end {plural(len(self.ends), 'grant')}" if self.ends else ""
        return f"Remove {self.name}{also}"

    @property
    def revoked(self) -> str:
        """Which API tokens are revoked with it."""
        if not self.tokens:
            return ""
        return f"{plural(self.tokens, 'API token')} issued under it {'is' if self.tokens == 1 else 'are'} revoked at once."

    @property
    def back_url(self) -> str:
        """The page of what is kept."""
        return PLACES[self.removal.kind].url_of(self.name)


def press_remove(
    request: HttpRequest,
    removal: Removal,
    name: str,
    *,
    policies: Sequence[AccessPolicy] = (),
    tokens: int = 0,
) -> HttpResponse:
    """Say which grants end; with ``confirm`` remove it, where no others would end than were named before."""
    confirmed = request.POST.get("confirm") == "1"
    plan = remove_document(
        kind=removal.kind, name=name, actor=who(request), now=clock.now(), plan_only=not confirmed,
        told=request.POST.get("told", "").split() if confirmed else None,
    )  # fmt: skip
    if confirmed:
        messages.success(request, f"{name} removed. {removal.done}")
        return redirect(PLACES[removal.kind].listed)
    shown = RemovalPage(removal, name, ending(plan), " ".join(plan.ends), policies, tokens)
    return render(request, "catalogue/remove.html", {"shown": shown})

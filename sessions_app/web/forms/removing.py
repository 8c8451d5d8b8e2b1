"""Remove a catalog object in two steps: a page shows which grants would end, and a second click confirms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.kernel import clock
from sessions_app.models import AccessPolicy, Grant
from sessions_app.operations.catalog.remove_document import Kind, remove_document
from sessions_app.web.display.states import plural
from sessions_app.web.forms.documents import PLACES
from sessions_app.web.forms.saving import ending
from sessions_app.web.layout.views import who

KEPT = "No one can request it anymore. Its requests and grants stay in the record."


@dataclass(frozen=True, slots=True)
class Removal:
    """The removal of one kind of object. ``says`` is the explanation before the removal, ``done`` the message
    afterward.
    """

    kind: Kind
    done: str
    says: str = KEPT


@dataclass(frozen=True, slots=True)
class RemovalPage:
    """The content of the confirmation page. ``tokens`` is the number of API tokens issued under a trust
    policy.
    """

    removal: Removal
    name: str
    ends: Sequence[Grant]
    told: str
    policies: Sequence[AccessPolicy]
    tokens: int

    @property
    def heading(self) -> str:
        """The question on the page."""
        return f"Remove the {PLACES[self.removal.kind].noun} {self.name}?"

    @property
    def button(self) -> str:
        """The label of the button that confirms."""
        also = f" and end {plural(len(self.ends), 'grant')}" if self.ends else ""
        return f"Remove {self.name}{also}"

    @property
    def revoked(self) -> str:
        """A sentence about the API tokens that are revoked with the policy; empty if there are none."""
        if not self.tokens:
            return ""
        return (
            f"{plural(self.tokens, 'API token')} issued under it {'is' if self.tokens == 1 else 'are'}"
            " revoked immediately."
        )

    @property
    def back_url(self) -> str:
        """The address of the object's page."""
        return PLACES[self.removal.kind].url_of(self.name)


def press_remove(
    request: HttpRequest,
    removal: Removal,
    name: str,
    *,
    policies: Sequence[AccessPolicy] = (),
    tokens: int = 0,
) -> HttpResponse:
    """Show which grants would end. With ``confirm``, remove the object, unless there are grants that the page
    did not show.
    """
    confirmed = request.POST.get("confirm") == "1"
    plan = remove_document(
        kind=removal.kind,
        name=name,
        actor=who(request),
        now=clock.now(),
        plan_only=not confirmed,
        told=request.POST.get("told", "").split() if confirmed else None,
    )
    if confirmed:
        messages.success(request, f"{name} removed. {removal.done}")
        return redirect(PLACES[removal.kind].listed)
    shown = RemovalPage(removal, name, ending(plan), " ".join(plan.ends), policies, tokens)
    return render(request, "catalog/remove.html", {"shown": shown})

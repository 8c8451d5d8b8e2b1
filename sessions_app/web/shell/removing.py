"""Taking something out of the catalogue from a page: what ends is said first, and a second press ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.kernel import clock
from sessions_app.operations.catalogue.remove_document import Kind, remove_document
from sessions_app.web.shell.doors import who
from sessions_app.web.shell.saving import ending


@dataclass(frozen=True, slots=True)
class Removal:
    """How one kind of thing is removed: ``says`` what that means before, ``done`` what it meant after; ``back`` is the
    page of one, ``listed`` that of all.
    """

    kind: Kind
    noun: str
    done: str
    back: str
    listed: str
    says: str = "Nobody can request it any more. Its history, requests and grants stay in the record."


def press_remove(request: HttpRequest, removal: Removal, name: str, **more: Any) -> HttpResponse:
    """Say which grants end; with ``confirm`` remove it, where no others would end than were named before."""
    confirmed = request.POST.get("confirm") == "1"
    plan = remove_document(
        kind=removal.kind, name=name, actor=who(request), now=clock.now(), plan_only=not confirmed,
        told=request.POST.get("told", "").split() if confirmed else None,
    )  # fmt: skip
    if confirmed:
        messages.success(request, f"{name} removed. {removal.done}")
        return redirect(removal.listed)
    context = {"removal": removal, "name": name, "ends": ending(plan), "told": " ".join(plan.ends), **more}
    return render(request, "catalogue/remove.html", context)

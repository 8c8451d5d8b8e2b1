"""Sources of work: how each is asked, what it delivered, and what is done about it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import WorkflowSource
from sessions_app.operations.catalogue.save_document import state_of
from sessions_app.operations.workflows.read_workflow import read_workflow
from sessions_app.operations.workflows.rotate_source_secret import rotate_source_secret
from sessions_app.web.shell.doors import ACT, FORM, page, who
from sessions_app.web.shell.editor import Typed, sent
from sessions_app.web.shell.removing import Removal, press_remove
from sessions_app.web.shell.saving import Outcome, press, said
from sessions_app.web.workflows import sources_page as reads
from sessions_app.workflows.registry import types


@page()
def index(request: HttpRequest) -> HttpResponse:
    """The sources that the reader administers."""
    rows = [(one, reads.source_look(one)) for one in reads.sources(who(request))]
    return render(request, "workflows/sources.html", {"rows": rows})


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One source and its deliveries."""
    return _page(request, name)


def _page(request: HttpRequest, name: str, status: int = 200, **more: Any) -> HttpResponse:
    shown = reads.source_page(_own(request, name), before=request.GET.get("before", ""), now=clock.now())
    hook = request.build_absolute_uri(reverse("hook", args=[name]))
    return render(request, "workflows/source.html", {"shown": shown, "hook": hook, **more}, status=status)


def _own(request: HttpRequest, name: str) -> WorkflowSource:
    return get_object_or_404(WorkflowSource.objects.live().administered_by(who(request)), name=name)


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Make a source."""
    if not who(request).is_superuser:
        raise Http404
    return _editor(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Change a source."""
    return _editor(request, _own(request, name))


def _editor(request: HttpRequest, source: WorkflowSource | None) -> HttpResponse:
    name = source.name if source else None
    text = reads.text_of(source) if source else reads.START
    outcome = Outcome()
    if request.method == "POST":
        text = sent(request.POST)
        outcome = press(request, kind="workflow-sources", source=text, name=name)
    if outcome.saved and outcome.plan:
        saved = name or next((change.name for change in outcome.plan.changes), "")
        messages.success(request, said(outcome, saved))
        return redirect("source", saved) if saved else redirect("sources")
    context = {
        "source": source, "typed": Typed(text, outcome.problems), "outcome": outcome, "error": outcome.error,
        "here": request.path, "providers": [(one.provider, one.title) for one in types().values()],
        "based_on": request.POST.get("based_on") or (state_of("workflow-sources", name) if name else ""),
    }  # fmt: skip
    return render(request, "workflows/source_edit.html", context, status=outcome.status)


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Say which grants end when a source is removed; with ``confirm`` remove it."""
    _own(request, name)
    removal = Removal(
        "workflow-sources", "source", "Access that rested on its work ends.", "source", "sources",
        "It is asked no more, and nobody gets access for its work. What was done stays in the record.",
    )  # fmt: skip
    return press_remove(request, removal, name)


@page(ACT)
def rotate(request: HttpRequest, name: str) -> HttpResponse:
    """Make a new secret for its webhooks; the answer shows it, this once."""
    secret = rotate_source_secret(name=name, actor=who(request), now=clock.now())
    return _page(request, name, secret=secret)


@page(ACT)
def read(request: HttpRequest, name: str) -> HttpResponse:
    """Ask the source about one piece of work now, and show what it says."""
    _own(request, name)
    outside_id = request.POST.get("id", "").strip()
    try:
        workflow = read_workflow(ref=f"{name}:{outside_id}", now=clock.now())
    except StintError as error:
        return _page(request, name, status=error.status, error=error, asked=outside_id)
    return redirect("incident", workflow.ref)

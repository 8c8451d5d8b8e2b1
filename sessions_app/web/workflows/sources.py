"""Views for workflow sources: list, set up and test sources, and see their deliveries."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import WorkflowSource
from sessions_app.operations.workflows.read_workflow import read_workflow
from sessions_app.operations.workflows.rotate_source_secret import rotate_source_secret
from sessions_app.web.forms.documents import administered, edit_document, list_documents
from sessions_app.web.forms.removing import Removal, press_remove
from sessions_app.web.layout.views import ACT, FORM, page, who
from sessions_app.web.workflows import sources_page as reads
from sessions_app.workflows.registry import types


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the sources that the reader administers."""
    rows = [(one, reads.source_look(one)) for one in reads.sources(who(request))]
    return list_documents(request, "workflow-sources", rows, "workflows/sources.html")


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one source and its deliveries."""
    return _page(request, name)


def _page(request: HttpRequest, name: str, status: int = 200, **more: Any) -> HttpResponse:
    shown = reads.source_page(
        administered(request, WorkflowSource.objects.live(), name),
        before=request.GET.get("before", ""),
        now=clock.now(),
    )
    hook = request.build_absolute_uri(reverse("hook", args=[name]))
    return render(request, "workflows/source.html", {"shown": shown, "hook": hook, **more}, status=status)


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Create a source."""
    if not who(request).is_superuser:
        raise Http404
    return _editor(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Edit a source."""
    return _editor(request, administered(request, WorkflowSource.objects.live(), name))


def _editor(request: HttpRequest, source: WorkflowSource | None) -> HttpResponse:
    return edit_document(
        request,
        kind="workflow-sources",
        name=source.name if source else None,
        source=reads.text_of(source) if source else reads.START,
        template="workflows/source_edit.html",
        providers=[(one.provider, one.title) for one in types().values()],
    )


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show which grants end if a source is removed. With ``confirm``, remove the source."""
    administered(request, WorkflowSource.objects.live(), name)
    removal = Removal(
        "workflow-sources",
        "Access for its workflows ends.",
        "Stint no longer contacts the source, and no one gets access for its workflows. Its history "
        "stays in the record.",
    )
    return press_remove(request, removal, name)


@page(ACT)
def rotate(request: HttpRequest, name: str) -> HttpResponse:
    """Create a new webhook secret. Only this response shows it."""
    secret = rotate_source_secret(name=name, actor=who(request), now=clock.now())
    return _page(request, name, secret=secret)


@page(ACT)
def read(request: HttpRequest, name: str) -> HttpResponse:
    """Read one workflow from the source now, and show the result."""
    administered(request, WorkflowSource.objects.live(), name)
    outside_id = request.POST.get("id", "").strip()
    try:
        workflow = read_workflow(ref=f"{name}:{outside_id}", now=clock.now())
    except StintError as error:
        return _page(request, name, status=error.status, error=error, asked=outside_id)
    return redirect("incident", workflow.ref)

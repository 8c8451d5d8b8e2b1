"""Views for incidents: open an incident, get access for it, and close it."""

from __future__ import annotations

from dataclasses import replace

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from broker.kernel import clock
from broker.kernel.errors import NotFound, StintError
from sessions_app.models import (
    Cluster,
    RequestKind,
    RequestState,
    Severity,
    Workflow,
    WorkflowKind,
    WorkflowState,
)
from sessions_app.operations.requests.request_access import request_access
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.operations.workflows.open_workflow import open_workflow
from sessions_app.web.forms.request_draft import Draft
from sessions_app.web.layout.pagination import page_of
from sessions_app.web.layout.views import ACT, FORM, page, who
from sessions_app.web.workflows import incidents_page as reads
from sessions_app.web.workflows.on_call import calls_for


@page(FORM)
def index(request: HttpRequest) -> HttpResponse:
    """List open and closed incidents, with the form that opens a new one."""
    if request.method != "POST":
        return _index(request)
    try:
        opened = open_workflow(
            kind=WorkflowKind.INCIDENT,
            title=request.POST.get("title", ""),
            severity=request.POST.get("severity", ""),
            clusters=request.POST.getlist("cluster"),
            actor=who(request),
            now=clock.now(),
        )
    except StintError as error:
        return _index(request, error)
    messages.success(request, f"{opened.ref} is open. On-call responders can start now.")
    return redirect("incident", opened.ref)


def _index(request: HttpRequest, error: StintError | None = None) -> HttpResponse:
    me = who(request)
    past = reads.incidents(me).filter(state=WorkflowState.CLOSED)
    closed = page_of(past, key="pk", before=request.GET.get("before", ""), size=20)
    opened = reads.open_ones(me)
    context = {
        "heading": reads.heading(opened),
        "open": opened,
        "page": closed,
        "rows": [(one, reads.where(one)) for one in closed.rows],
        "clusters": list(Cluster.objects.live().visible_to(me).order_by("name")[: reads.MOST]),
        "severities": Severity.values,
        "error": error,
        "typed": {
            "title": request.POST.get("title", ""),
            "severity": request.POST.get("severity", ""),
            "clusters": request.POST.getlist("cluster"),
        },
    }
    return render(request, "workflows/incidents.html", context, status=error.status if error else 200)


def _find(request: HttpRequest, ref: str) -> Workflow:
    incident = reads.workflows(who(request)).filter(ref=ref).first()
    if incident is None:
        raise Http404
    return incident


@page()
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """Show one incident, with live updates while it is open."""
    return _detail(request, _find(request, ref))


def _detail(request: HttpRequest, incident: Workflow, error: StintError | None = None) -> HttpResponse:
    context = {
        "shown": reads.incident_page(incident, who(request), clock.now()),
        "incident": incident,
        "error": error,
        "note": request.POST.get("note", ""),
    }
    return render(request, "workflows/incident.html", context, status=error.status if error else 200)


@page()
def live(request: HttpRequest, ref: str) -> HttpResponse:
    """Return the live part of the page, or 204 if it hasn't changed since ``seen``."""
    incident = _find(request, ref)
    shown = reads.incident_page(incident, who(request), clock.now())
    if request.GET.get("seen") == shown.seen:
        return HttpResponse(status=204)
    return render(request, "workflows/_incident_live.html", {"shown": shown, "incident": incident})


@page(ACT)
def access(request: HttpRequest, ref: str) -> HttpResponse:
    """Request access with the best-matching command set. If the reader must choose something, redirect to the
    form.

    For other workflows, and for incidents that the reader isn't on call for, the form requests planned
    access.
    """
    incident = _find(request, ref)
    call = next((one for one in calls_for(who(request)) if one.incident.pk == incident.pk), None)
    if call is None or call.offer is None:
        kind = RequestKind.PLANNED if call is None else RequestKind.INCIDENT
        return redirect(f"{reverse('request_new')}?{Draft(kind=kind, incident=ref).as_query()}")
    if not call.offer.ready:
        return redirect(f"{reverse('request_new')}?{call.offer.draft.as_query()}")
    ask = replace(call.offer.draft.new_request(), once=request.POST.get("once", ""))
    asked = request_access(requester=who(request), ask=ask, now=clock.now())
    if asked.state != RequestState.APPROVED:
        messages.success(request, f"{asked.ref} submitted. Approvers have been notified.")
        return redirect("request", asked.ref)
    messages.success(request, f"You have access for {ref}. It ends when the incident closes.")
    return redirect("grant", asked.grant.ref)


@page(ACT)
def close(request: HttpRequest, ref: str) -> HttpResponse:
    """Close an incident permanently, which ends all access for it."""
    incident = _find(request, ref)
    note = request.POST.get("note", "")
    try:
        close_workflow(workflow_id=incident.pk, actor=who(request), now=clock.now(), note=note)
    except NotFound:
        raise
    except StintError as error:
        return _detail(request, incident, error)
    messages.success(request, f"You closed {ref}. Access for it can't be used anymore.")
    return redirect("incident", ref)

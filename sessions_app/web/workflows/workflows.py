"""Views for workflows of every kind that access can be bound to: list, open and join."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import Cluster, Severity, Workflow, WorkflowKind, WorkflowState
from sessions_app.operations.workflows.join_workflow import join_workflow
from sessions_app.operations.workflows.open_workflow import PREFIX, open_workflow
from sessions_app.web.forms.times import parse_start
from sessions_app.web.layout.pagination import page_of
from sessions_app.web.layout.views import ACT, FORM, page, who
from sessions_app.web.workflows import incidents_page as reads

TYPED = ("title", "severity", "assignee", "from_day", "from_hour", "to_day", "to_hour")
_PLANNED = ("from_day", "from_hour", "to_day", "to_hour")
_OF_OTHERS: dict[str, tuple[str, ...]] = {
    WorkflowKind.INCIDENT: ("assignee", *_PLANNED),
    WorkflowKind.CHANGE: ("severity",),
}
STATES = [(WorkflowState.OPEN, "Open"), (WorkflowState.CLOSED, "Closed"), ("all", "All")]


@page(FORM)
def index(request: HttpRequest) -> HttpResponse:
    """List the workflows that the reader can see, with the form that opens a new one."""
    if request.method != "POST":
        return _index(request)
    kind = request.POST.get("kind", "")
    # Fields for other kinds are hidden, but keep their typed values.
    others = _OF_OTHERS.get(kind, ("severity", *_PLANNED))
    post = {name: "" if name in others else request.POST.get(name, "") for name in TYPED}
    try:
        opened = open_workflow(
            kind=kind,
            title=post["title"],
            severity=post["severity"],
            clusters=request.POST.getlist("cluster"),
            starts_at=parse_start(post["from_day"], post["from_hour"], "from_"),
            ends_at=parse_start(post["to_day"], post["to_hour"], "to_"),
            assignee=post["assignee"],
            actor=who(request),
            now=clock.now(),
        )
    except StintError as error:
        return _index(request, error)
    messages.success(request, f"{opened.ref} is open. Access requested for it ends when it closes.")
    return redirect("incident", opened.ref)


def _index(request: HttpRequest, error: StintError | None = None) -> HttpResponse:
    me = who(request)
    kind, state = request.GET.get("kind", ""), request.GET.get("state", WorkflowState.OPEN)
    found, source = reads.workflows(me), request.GET.get("source", "")
    if source:
        found = found.filter(source__name=source)
    if kind in WorkflowKind.values:
        found = found.filter(kind=kind)
    if state in WorkflowState.values:
        found = found.filter(state=state)
    chosen = request.POST.get("kind") or (kind if kind in PREFIX else WorkflowKind.TICKET.value)
    shown = page_of(found, key="pk", before=request.GET.get("before", ""), size=30)
    context = {
        "page": shown,
        "rows": [reads.workflow_row(one) for one in shown.rows],
        "kinds": WorkflowKind.choices,
        "kind": kind,
        "states": STATES,
        "state": state,
        "source": source,
        "narrowed": bool(kind or source) or state != WorkflowState.OPEN,
        "filtered": bool(kind or source or request.GET.get("before")) or state != WorkflowState.OPEN,
        "to_open": [(one.value, one.label) for one in PREFIX],
        "chosen": chosen,
        "clusters": list(Cluster.objects.live().visible_to(me).order_by("name")[: reads.MOST]),
        "severities": [("", "None"), *((one, one) for one in Severity.values)],
        "error": error,
        "typed": {name: request.POST.get(name, "") for name in TYPED}
        | {"clusters": request.POST.getlist("cluster")},
    }
    return render(request, "workflows/workflows.html", context, status=error.status if error else 200)


@page(ACT)
def join(request: HttpRequest, ref: str) -> HttpResponse:
    """Join a workflow as a member."""
    found: Workflow | None = reads.workflows(who(request)).filter(ref=ref).first()
    if found is None:
        raise Http404
    join_workflow(workflow_id=found.pk, actor=who(request), now=clock.now())
    messages.success(request, f"You joined {ref}.")
    return redirect("incident", ref)

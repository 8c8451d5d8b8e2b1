"""Views for policies: list, show, simulate, replay and edit them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import AccessPolicy, Cluster, CommandSet
from sessions_app.policy.json_schemas import json_schema
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.starter_policy import policy_source
from sessions_app.queries.requests import facts
from sessions_app.web.catalog import policies_page as reads
from sessions_app.web.catalog import simulator_page as simulating
from sessions_app.web.catalog.proposals_page import proposal_for
from sessions_app.web.catalog.replay_page import replay_past
from sessions_app.web.forms.document_form import form_of, shows_form, with_form
from sessions_app.web.forms.documents import administered, editing, list_documents
from sessions_app.web.forms.editor import Typed, sent
from sessions_app.web.forms.removing import Removal, press_remove
from sessions_app.web.forms.saving import SaveResult, press, said
from sessions_app.web.layout.views import ACT, FORM, page, who

UNREADABLE = "The text can't be parsed yet."
NEW_POLICY = "A new policy has no past requests to replay."


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the policies that the reader can see."""
    return list_documents(request, "policies", reads.policies(who(request)), "catalog/policies.html")


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one policy in plain sentences."""
    found = get_object_or_404(AccessPolicy.objects.live().visible_to(who(request)).distinct(), name=name)
    me, now = who(request), clock.now()
    context = {
        "shown": reads.policy_page(found, me, now),
        "proposed": proposal_for("policies", name, me, now),
    }
    return render(request, "catalog/policy.html", context)


@page()
def simulate(request: HttpRequest, name: str) -> HttpResponse:
    """Show how the policy would decide a person's request for a cluster at some time."""
    found = get_object_or_404(reads.simulated_by(who(request)), name=name)
    document = facts.policy_document(found)
    context = {"policy": found, **_simulation(request, document, found, asked="s.person" in request.GET)}
    if getattr(request, "htmx", None):
        return render(request, "catalog/_simulated.html", context)
    return render(request, "catalog/policy_simulate.html", context)


def _simulation(
    request: HttpRequest, document: PolicyDocument | None, policy: AccessPolicy | None, *, asked: bool
) -> dict[str, Any]:
    """Return the simulator's form. If it was submitted, add the decision, or the reason why there is none."""
    question = simulating.question_of(request.POST if request.method == "POST" else request.GET)
    context: dict[str, Any] = {"question": question, "options": simulating.options(document)}
    if document and asked and question.person:
        try:
            context["simulated"] = simulating.simulate(question, document, policy, clock.now())
        except StintError as error:
            context["simulation_error"] = error
    return context


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Create a policy."""
    if not who(request).is_superuser:
        raise Http404
    return _editor(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Edit a policy: check it, simulate it, replay past requests against it, and save it."""
    return _editor(request, administered(request, AccessPolicy.objects.live(), name))


def _editor(request: HttpRequest, policy: AccessPolicy | None) -> HttpResponse:
    name = policy.name if policy else None
    source = sent(request.POST) if request.method == "POST" else _begin(policy)
    act, schema = request.POST.get("act", ""), json_schema(PolicyDocument)
    source = with_form(source, schema, request.POST)
    outcome = (
        press(request, kind="policies", source=source, name=name) if act in ("save", "look") else SaveResult()
    )
    checked = reads.check_source(source, clock.now())
    if outcome.saved:
        saved = name or (checked.document.name if checked.document else "")
        messages.success(request, said(outcome, saved))
        for warning in outcome.plan.warnings if outcome.plan else ():
            messages.warning(request, warning)
        return redirect("policy", saved)
    typed = Typed(source, outcome.problems or checked.problems)
    context = {
        "edit": editing(request, "policies", name, typed, outcome),
        "typed": typed,
        "checked": checked,
        "outcome": outcome,
        "error": outcome.error,
        "form": form_of(source, schema, typed.problems) if shows_form(request.POST) else None,
        **_simulation(request, checked.document, None, asked=act == "simulate"),
        **(_replayed(policy, checked.document) if act == "replay" else {}),
    }
    if getattr(request, "htmx", None):
        fragment = {"simulate": "_simulated", "replay": "_replayed"}.get(act, "_policy_checked")
        return render(request, f"catalog/{fragment}.html", {**context, "swap": True})
    return render(request, "catalog/policy_edit.html", context, status=outcome.status)


def _begin(policy: AccessPolicy | None) -> str:
    """Return the editor's initial text: the policy's text, or a template for a new policy."""
    if policy:
        return reads.text_of(policy)
    clusters = Cluster.objects.live().order_by("name").values_list("name", flat=True)[:1]
    sets = CommandSet.objects.live().filter(versions__published_at__isnull=False).order_by("name")
    names = sets.distinct().values_list("name", flat=True)[:1]
    return policy_source(
        name="new-policy",
        clusters=list(clusters) or ["a-cluster"],
        command_sets=list(names) or ["a-command-set"],
        requesters=["operators"],
        approvers=["approvers"],
    )


def _replayed(policy: AccessPolicy | None, document: PolicyDocument | None) -> dict[str, Any]:
    """Return how the draft would have decided past requests. A new policy has no past requests."""
    if policy is None or document is None:
        return {"replay_missing": NEW_POLICY if document else UNREADABLE}
    try:
        return {"replayed": replay_past(policy, document, clock.now())}
    except StintError as error:
        return {"replay_error": error}


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show which grants end if a policy is removed. With ``confirm``, remove the policy."""
    administered(request, AccessPolicy.objects.live(), name)
    removal = Removal("policies", "Access granted under the policy ends.")
    return press_remove(request, removal, name)

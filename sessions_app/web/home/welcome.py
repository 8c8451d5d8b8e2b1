"""The first steps for administrators: people, a cluster, commands, a policy, the connection.

The connection is last, because the setup of the targets depends on the commands that the policy allows there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.queries import groups, members
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import AccessPolicy, Environment, Risk
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.policy.commands.ssh.starters import STARTERS
from sessions_app.policy.commands.starters import Starter
from sessions_app.policy.starter_policy import policy_source
from sessions_app.web.catalog import clusters_page as clusters
from sessions_app.web.catalog import command_set_editor as command_sets
from sessions_app.web.catalog.cluster_form import MOST_TARGETS, ClusterForm, form_of_post
from sessions_app.web.forms.editor import Typed, sent
from sessions_app.web.forms.faults import Faults, faults_of, faults_of_document
from sessions_app.web.forms.saving import SaveResult, press
from sessions_app.web.home import welcome_page as reads
from sessions_app.web.identities.identity_form import add_identity, group_name
from sessions_app.web.layout.views import FORM, page, who

HOURS, USUAL = (1, 2, 4, 8), "4"


@page(FORM)
def welcome(request: HttpRequest, step: str = "") -> HttpResponse:
    """Show one step, by default the first step that isn't done."""
    if not who(request).is_superuser or (step and step not in reads.KEYS):
        raise Http404
    states = reads.steps()
    current = step or next((one.key for one in states if not one.done), "done")
    answer = STEPS[current](request)
    if isinstance(answer, HttpResponse):
        return answer
    outcome = answer.get("outcome")
    error = answer.get("error") or (outcome.error if isinstance(outcome, SaveResult) else None)
    context = {
        "steps": [replace(one, current=one.key == current) for one in reads.steps()],
        "finished": current == "done" and all(one.done for one in states),
        "page": f"home/_welcome_{current}.html",
        "is_done": all(one.done for one in states if one.key == current),
        **answer,
    }
    return render(request, "home/welcome.html", context, status=error.status if error else 200)


Answer = HttpResponse | dict[str, Any]


def _people(request: HttpRequest) -> Answer:
    context: dict[str, Any] = {"typed": request.POST}
    act = request.POST.get("act", "")
    try:
        if act == "person":
            context |= _person(request)
        elif act == "group":
            name = group_name(request.POST.get("group", ""))
            username = request.POST.get("member", "")
            document = {"name": name, "members": sorted({*members(name), username})}
            save_document(kind="groups", source=json.dumps(document), actor=who(request), now=clock.now())
            messages.success(request, f"{username} added to {name}.")
            return redirect("welcome_step", "people")
    except StintError as error:
        context |= {"error": error, "form": act}
    return {**context, "people": reads.people(), "groups": groups(), "grouped": reads.in_groups()}


def _person(request: HttpRequest) -> dict[str, Any]:
    """Create a person with an initial password, which only this response shows."""
    made, password = add_identity(request)
    return {"made": made, "password": password, "typed": {}}


def _cluster(request: HttpRequest) -> Answer:
    form, outcome = ClusterForm(), SaveResult()
    if request.method == "POST":
        form = form_of_post(request.POST)
        if request.POST.get("act") == "add":
            form = form.with_more_targets()
        elif not form.faults.at:
            outcome = press(request, kind="clusters", source=form.source(), name=None)
    if outcome.saved:
        return redirect("welcome_step", "commands")
    return {
        "form": form.with_problems(outcome.problems),
        "outcome": outcome,
        "environments": Environment.choices,
        "risks": Risk.choices,
        "may_aim": True,
        "most": MOST_TARGETS,
        "clusters": reads.cluster_names(),
    }


def _check(_: HttpRequest) -> Answer:
    cluster = reads.newest_cluster()
    if cluster is None:
        return {}
    checks = clusters.checks_of(cluster, clock.now())
    return {
        "checks": checks,
        "setup": clusters.setup_lines(cluster),
    }


def _starter(key: str) -> Starter:
    return next((one for one in STARTERS if one.key == key), STARTERS[0])


def _commands(request: HttpRequest) -> Answer:
    source = sent(request.POST) or _starter(request.GET.get("start", "")).source
    outcome = SaveResult()
    if request.POST.get("act") == "save":
        outcome = press(request, kind="command-sets", source=source, name=None)
    if outcome.saved:
        messages.success(request, "Command set published.")
        return redirect("welcome_step", "policy")
    checked = command_sets.check_source(source, None)
    return {
        "typed": Typed(source, outcome.problems or checked.problems),
        "checked": checked,
        "outcome": outcome,
        "starters": STARTERS,
        "published": reads.command_set_names(),
        "start": request.GET.get("start", STARTERS[0].key),
    }


def _policy(request: HttpRequest) -> Answer:
    outcome, typed = SaveResult(), request.POST
    if request.method == "POST":
        hours = typed.get("hours", "")
        source = policy_source(
            name=typed.get("name", "").strip(),
            clusters=typed.getlist("cluster"),
            hours=int(hours) if hours in map(str, HOURS) else 4,
            command_sets=typed.getlist("command_set"),
            requesters=typed.getlist("requesters"),
            approvers=typed.getlist("approvers"),
        )
        outcome = press(request, kind="policies", source=source, name=None)
    if outcome.saved:
        return redirect("welcome_step", "check")
    return {
        "outcome": outcome,
        "faults": _at_fields(outcome),
        "typed": typed,
        "chosen": {key: typed.getlist(key) for key in typed},
        "hours": [(one, str(one) == typed.get("hours", USUAL)) for one in HOURS],
        "clusters": reads.cluster_names(),
        "command_sets": reads.command_set_names(),
        "groups": groups(),
    }


def _at_fields(outcome: SaveResult) -> Faults:
    """Return the policy's errors at the form fields that the policy is built from."""
    names = "name cluster:clusters command_set:command_sets requesters approvers:approvals hours:max_duration"
    if not outcome.problems:
        return faults_of(outcome.error, names)
    return faults_of_document(outcome.problems, names)


def _done(_: HttpRequest) -> Answer:
    policy = reads.newest_policy()
    return {
        "policy": policy,
        "ask_url": _ask_url(policy) if policy else "",
    }


def _ask_url(policy: AccessPolicy) -> str:
    """Return the address of the request form, prefilled with the first cluster and command set of a
    policy.
    """
    cluster, command_set = policy.clusters.first(), policy.command_sets.first()
    query = {"cluster": cluster.name, "set": command_set.name} if cluster and command_set else {}
    return f"{reverse('request_new')}?{urlencode(query)}"


STEPS: dict[str, Callable[[HttpRequest], Answer]] = {
    "people": _people,
    "cluster": _cluster,
    "check": _check,
    "commands": _commands,
    "policy": _policy,
    "done": _done,
}

"""Clusters: look, check the connection, set up."""

from __future__ import annotations

from dataclasses import replace

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from broker.kernel import clock
from sessions_app.connectors.registry import find, types
from sessions_app.models import Cluster, Environment, Risk
from sessions_app.operations.catalogue.save_document import state_of
from sessions_app.operations.targets.check_target import check_target
from sessions_app.operations.targets.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.policy.catalogue import ClusterDocument
from sessions_app.queries.facts import Unreadable
from sessions_app.web.catalogue import clusters_page as reads
from sessions_app.web.catalogue.cluster_form import MOST_TARGETS, ClusterForm, form_of, form_of_post
from sessions_app.web.home.welcome_page import unfinished
from sessions_app.web.shell.doors import ACT, FORM, back, page, who
from sessions_app.web.shell.editor import Typed, sent
from sessions_app.web.shell.removing import Removal, press_remove
from sessions_app.web.shell.saving import Outcome, press, said


@page()
def index(request: HttpRequest) -> HttpResponse:
    """The clusters that the reader may see."""
    context = {"clusters": reads.listed(who(request)), "first_steps": unfinished(who(request))}
    return render(request, "catalogue/clusters.html", context)


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One cluster."""
    found = get_object_or_404(reads.clusters(who(request)), name=name)
    return render(
        request, "catalogue/cluster.html", {"shown": reads.cluster_page(found, who(request), clock.now())}
    )


def _mine(request: HttpRequest, name: str) -> Cluster:
    """Return a cluster that the reader administers; any other is not there."""
    return get_object_or_404(Cluster.objects.live().administered_by(who(request)), name=name)


@page()
def checks(request: HttpRequest, name: str) -> HttpResponse:
    """How far the connection checks are."""
    found = _mine(request, name)
    return render(request, "ui/_checks.html", {"checks": reads.checks_of(found, clock.now())})


@page(ACT)
def check(request: HttpRequest, name: str) -> HttpResponse:
    """Ask that one target is looked at, or all."""
    found = _mine(request, name)
    targets = found.targets.filter(removed_at__isnull=True)
    if wanted := request.POST.get("target", ""):
        targets = targets.filter(name=wanted)
    if not targets:
        raise Http404
    for target in targets:
        check_target(target_id=target.pk, actor=who(request), now=clock.now())
    if getattr(request, "htmx", None):
        return render(request, "ui/_checks.html", {"checks": reads.checks_of(found, clock.now())})
    return back(request, "cluster", name)


@page(ACT)
def authority(request: HttpRequest, name: str) -> HttpResponse:
    """Make the certificate authority that targets trust, where there is none yet."""
    _mine(request, name)
    ensure_ssh_ca(now=clock.now())
    messages.success(request, "The certificate authority is there. Put its key on each target.")
    return back(request, "cluster", name)


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Make a cluster."""
    if not who(request).is_superuser:
        raise Http404
    return _form(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Change a cluster and its targets, in a form or, when there are many, as text."""
    return _form(request, _mine(request, name))


def _read(cluster: Cluster | None) -> tuple[ClusterDocument | None, str]:
    """Return a cluster as a document and as text; where rows can't be read, as the text that they make alone."""
    if cluster is None:
        return None, ""
    try:
        document = reads.document_of(cluster)
    except Unreadable:
        return None, reads.text_of_row(cluster)
    return document, reads.text_of(document)


def _form(request: HttpRequest, cluster: Cluster | None) -> HttpResponse:
    name = cluster.name if cluster else None
    document, source = _read(cluster)
    as_text = (
        request.GET.get("as") == "text"
        or bool(cluster and (document is None or find(cluster.kind) is None))
        or (document is not None and len(document.targets) > MOST_TARGETS)
    )
    kind = cluster.kind if cluster else request.GET.get("kind", "ssh")
    if cluster is None and find(kind) is None:
        raise Http404
    form = form_of(document) if document else ClusterForm(kind=kind)
    outcome = Outcome()
    if request.method == "POST":
        form = (
            form if as_text else replace(form_of_post(request.POST, kind), kept=form.kept, stored=form.stored)
        )
        source = sent(request.POST) if as_text else form.source()
        if request.POST.get("act") == "add":
            form = form.with_another_target()
        else:
            outcome = press(request, kind="clusters", source=source, name=name)
    if outcome.saved:
        saved = name or form.name
        messages.success(request, said(outcome, saved))
        return redirect("cluster", saved)
    context = {
        "cluster": cluster, "form": form if as_text else form.with_problems(outcome.problems), "outcome": outcome, "as_text": as_text,
        "typed": Typed(source, outcome.problems), "environments": Environment.choices, "risks": Risk.choices,
        "based_on": request.POST.get("based_on") or (state_of("clusters", name) if name else ""),
        "may_aim": who(request).is_superuser, "most": MOST_TARGETS, "kinds": sorted(types().values(), key=lambda one: one.title),
    }  # fmt: skip
    return render(request, "catalogue/cluster_edit.html", context, status=outcome.status)


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Say which grants end when a cluster is removed; with ``confirm`` remove it."""
    policies = _mine(request, name).policies.filter(removed_at__isnull=True).order_by("name")
    removal = Removal("clusters", "cluster", "What was granted on it ends.", "cluster", "clusters")
    return press_remove(request, removal, name, policies=policies)

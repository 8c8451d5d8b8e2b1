"""Views for clusters: list and show clusters, check their connections and set them up."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from broker.kernel import clock
from sessions_app.connectors.registry import find, types
from sessions_app.models import Cluster, Environment, Risk
from sessions_app.operations.targets.check_target import check_target
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.policy.catalog import ClusterDocument
from sessions_app.queries.gateways.keys import SSH_USER_CA
from sessions_app.queries.requests.facts import Unreadable
from sessions_app.web.catalog import clusters_page as reads
from sessions_app.web.catalog.cluster_form import MOST_TARGETS, ClusterForm, form_of, form_of_post
from sessions_app.web.catalog.proposals_page import proposal_for
from sessions_app.web.forms.documents import administered, editing, list_documents
from sessions_app.web.forms.editor import Typed, sent
from sessions_app.web.forms.removing import Removal, press_remove
from sessions_app.web.forms.saving import SaveResult, press, said
from sessions_app.web.home.welcome_page import unfinished
from sessions_app.web.layout.views import ACT, FORM, back, page, who


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the clusters that the reader can see."""
    rows, step = reads.listed(who(request)), unfinished(who(request))
    return list_documents(request, "clusters", rows, "catalog/clusters.html", first_steps=rows and step)


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one cluster."""
    found = get_object_or_404(reads.clusters(who(request)), name=name)
    me, now = who(request), clock.now()
    context = {
        "shown": reads.cluster_page(found, me, now),
        "proposed": proposal_for("clusters", name, me, now),
    }
    return render(request, "catalog/cluster.html", context)


@page()
def checks(request: HttpRequest, name: str) -> HttpResponse:
    """Show the progress of the cluster's connection checks."""
    found = administered(request, Cluster.objects.live(), name)
    return render(request, "ui/_checks.html", {"checks": reads.checks_of(found, clock.now())})


@page(ACT)
def check(request: HttpRequest, name: str) -> HttpResponse:
    """Start a connection check of one target or of all targets."""
    found = administered(request, Cluster.objects.live(), name)
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
    """Create the certificate authority that targets trust, unless the cluster already has one."""
    administered(request, Cluster.objects.live(), name)
    ensure_authority(SSH_USER_CA, now=clock.now())
    messages.success(request, "Certificate authority created. Install its key on each target.")
    return back(request, "cluster", name)


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Create a cluster."""
    if not who(request).is_superuser:
        raise Http404
    return _form(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Edit a cluster and its targets, as a form or, for many targets, as text."""
    return _form(request, administered(request, Cluster.objects.live(), name))


def _read(cluster: Cluster | None) -> tuple[ClusterDocument | None, str]:
    """Return a cluster as a document and as text. If the stored values aren't a valid document, return only
    the text.
    """
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
    outcome = SaveResult()
    if request.method == "POST":
        form = (
            form if as_text else replace(form_of_post(request.POST, kind), kept=form.kept, stored=form.stored)
        )
        source = sent(request.POST) if as_text else form.source()
        if request.POST.get("act") == "add" and not as_text:
            form = form.with_more_targets()
        elif as_text or not form.faults.at:
            outcome = press(request, kind="clusters", source=source, name=name)
    if outcome.saved:
        saved = name or form.name
        messages.success(request, said(outcome, saved))
        return redirect("cluster", saved)
    typed = Typed(source, outcome.problems)
    context = {
        "edit": editing(request, "clusters", name, typed, outcome),
        "typed": typed,
        "outcome": outcome,
        "cluster": cluster,
        "form": form if as_text else form.with_problems(outcome.problems),
        "as_text": as_text,
        "tabs": _tabs(cluster, kind, as_text=as_text),
        "environments": Environment.choices,
        "risks": Risk.choices,
        "may_aim": who(request).is_superuser,
        "most": MOST_TARGETS,
    }
    return render(request, "catalog/cluster_edit.html", context, status=outcome.status)


def _tabs(cluster: Cluster | None, kind: str, *, as_text: bool) -> list[tuple[str, str, bool]]:
    """Return the editor's tabs, each with its address and whether it is selected. An existing cluster has a
    tab for each way to edit it; a new cluster has a tab for each kind.
    """
    if cluster:
        return [
            ("Form", reverse("cluster_edit", args=[cluster.name]), not as_text),
            ("Text", "?as=text", as_text),
        ]
    found = sorted(types().values(), key=lambda one: one.title)
    tabs = [(one.title, f"?{urlencode({'kind': one.kind})}", one.kind == kind) for one in found]
    return tabs if len(tabs) > 1 else []


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show which grants end if a cluster is removed. With ``confirm``, remove the cluster."""
    policies = (
        administered(request, Cluster.objects.live(), name)
        .policies.filter(removed_at__isnull=True)
        .order_by("name")
    )
    removal = Removal("clusters", "All access to the cluster ends.")
    return press_remove(request, removal, name, policies=list(policies))

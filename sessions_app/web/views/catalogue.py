"""Clusters, command sets, policies."""

from __future__ import annotations

from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from broker.kernel import clock
from sessions_app.models import AccessPolicy, CommandSet, CommandSetVersion
from sessions_app.web.doors import ACT, page, who
from sessions_app.web.forms import PARAMETER
from sessions_app.web.reads import catalogue


@page()
def clusters(request: HttpRequest) -> HttpResponse:
    """The clusters that the reader may see."""
    return render(request, "sessions/clusters.html", {"clusters": catalogue.clusters(who(request))})


@page()
def cluster(request: HttpRequest, name: str) -> HttpResponse:
    """One cluster."""
    found = get_object_or_404(catalogue.clusters(who(request)), name=name)
    return render(request, "sessions/cluster.html", {"shown": catalogue.cluster_page(found, who(request))})


@page()
def command_sets(request: HttpRequest) -> HttpResponse:
    """The command sets that the reader may see."""
    return render(
        request, "sessions/command_sets.html", {"command_sets": catalogue.command_sets(who(request))}
    )


@page()
def command_set(request: HttpRequest, name: str) -> HttpResponse:
    """One version of a command set: the newest published one, or the one asked for."""
    found, version = _version(request, name, request.GET.get("version", ""))
    return render(
        request,
        "sessions/command_set.html",
        {"shown": catalogue.command_set_page(found, version, who(request))},
    )


def _version(request: HttpRequest, name: str, number: str) -> tuple[CommandSet, CommandSetVersion]:
    """Return a command set and one of its versions. Drafts are for administrators alone."""
    me = who(request)
    found = get_object_or_404(CommandSet.objects.live().visible_to(me), name=name)
    versions = found.versions.all() if me.is_superuser else found.versions.filter(published_at__isnull=False)
    if number:
        versions = (
            versions.filter(number=int(number)) if number.isdecimal() and len(number) < 9 else versions.none()
        )
    version = versions.order_by(F("published_at").desc(nulls_last=True)).first()
    if version is None:
        raise Http404
    return found, version


@page(ACT)
def try_command(request: HttpRequest, name: str) -> HttpResponse:
    """What the gateways would say to a line; nothing runs."""
    found, version = _version(request, name, request.POST.get("version", ""))
    values = {
        key.removeprefix(PARAMETER): request.POST[key] for key in request.POST if key.startswith(PARAMETER)
    }
    line = request.POST.get("line", "")
    result = catalogue.try_line(version, line, values) if line.strip() else None
    context = {"result": result, "line": line, "values": values}
    if getattr(request, "htmx", None):
        return render(request, "sessions/_tried.html", context)
    shown = catalogue.command_set_page(found, version, who(request))
    return render(request, "sessions/command_set.html", {"shown": shown, **context})


@page()
def policies(request: HttpRequest) -> HttpResponse:
    """The policies that the reader may see."""
    found = AccessPolicy.objects.live().visible_to(who(request)).distinct()
    context = {"policies": found.prefetch_related("clusters", "command_sets").order_by("name")}
    return render(request, "sessions/policies.html", context)


@page()
def policy(request: HttpRequest, name: str) -> HttpResponse:
    """One policy in plain sentences."""
    found = get_object_or_404(AccessPolicy.objects.live().visible_to(who(request)).distinct(), name=name)
    return render(
        request, "sessions/policy.html", {"shown": catalogue.policy_page(found, who(request), clock.now())}
    )

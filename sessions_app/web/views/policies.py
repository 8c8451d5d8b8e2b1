"""Policies."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from broker.kernel import clock
from sessions_app.models import AccessPolicy
from sessions_app.web.doors import page, who
from sessions_app.web.reads import policies as reads


@page()
def index(request: HttpRequest) -> HttpResponse:
    """The policies that the reader may see."""
    found = AccessPolicy.objects.live().visible_to(who(request)).distinct()
    context = {"policies": found.prefetch_related("clusters", "command_sets").order_by("name")}
    return render(request, "sessions/policies.html", context)


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One policy in plain sentences."""
    found = get_object_or_404(AccessPolicy.objects.live().visible_to(who(request)).distinct(), name=name)
    return render(
        request, "sessions/policy.html", {"shown": reads.policy_page(found, who(request), clock.now())}
    )

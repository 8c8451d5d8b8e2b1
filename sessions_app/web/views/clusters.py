"""Clusters."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from sessions_app.web.doors import page, who
from sessions_app.web.reads import clusters as reads


@page()
def index(request: HttpRequest) -> HttpResponse:
    """The clusters that the reader may see."""
    return render(request, "sessions/clusters.html", {"clusters": reads.clusters(who(request))})


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One cluster."""
    found = get_object_or_404(reads.clusters(who(request)), name=name)
    return render(request, "sessions/cluster.html", {"shown": reads.cluster_page(found, who(request))})

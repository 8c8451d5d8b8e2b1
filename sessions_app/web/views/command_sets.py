"""Command sets."""

from __future__ import annotations

from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from sessions_app.models import CommandSet, CommandSetVersion
from sessions_app.web.doors import ACT, page, who
from sessions_app.web.forms import PARAMETER
from sessions_app.web.reads import command_sets as reads


@page()
def index(request: HttpRequest) -> HttpResponse:
    """The command sets that the reader may see."""
    return render(request, "sessions/command_sets.html", {"command_sets": reads.command_sets(who(request))})


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One version of a command set: the newest published one, or the one asked for."""
    found, version = _version(request, name, request.GET.get("version", ""))
    return render(
        request,
        "sessions/command_set.html",
        {"shown": reads.command_set_page(found, version, who(request))},
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
    result = reads.try_line(version, line, values) if line.strip() else None
    context = {"result": result, "line": line, "values": values}
    if getattr(request, "htmx", None):
        return render(request, "sessions/_tried.html", context)
    shown = reads.command_set_page(found, version, who(request))
    return render(request, "sessions/command_set.html", {"shown": shown, **context})

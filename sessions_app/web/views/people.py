"""People and machines, and who can run what."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.models import Identity, Kind
from broker.kernel import clock
from sessions_app.operations.disable_identity import disable_identity, enable_identity
from sessions_app.operations.end_all_of import end_all_of
from sessions_app.queries.people import known_people
from sessions_app.web.doors import ACT, back, page, who
from sessions_app.web.reads import people as reads
from sessions_app.web.reads.who_can import WhoCan, who_can, who_can_form
from sessions_app.web.sentences import sentence

LONGEST = 100
LONGEST_LINE = 2000


@page()
def people(request: HttpRequest) -> HttpResponse:
    """Those whom the reader may see."""
    asked = {name: _text(request, name) for name in ("q", "kind", "state")}
    found = reads.people(
        who(request),
        now=clock.now(),
        text=asked["q"],
        kind=asked["kind"],
        state=asked["state"],
        before=request.GET.get("before", ""),
    )
    context = {
        "page": found,
        "asked": asked,
        "kinds": Kind.choices,
        "states": reads.STATES,
        "filtered": any(asked.values()),
    }
    return render(request, "accounts/people.html", context)


def _text(request: HttpRequest, name: str, longest: int = LONGEST) -> str:
    return request.GET.get(name, "").replace("\0", "").strip()[:longest]


def _find(request: HttpRequest, username: str) -> Identity:
    """Return an identity that the reader may see. Not there and not for them are the same answer."""
    found = known_people(who(request)).select_related("owner").prefetch_related("groups")
    person = found.filter(username=username).first()
    if person is None:
        raise Http404
    return person


@page()
def person(request: HttpRequest, username: str) -> HttpResponse:
    """One person, service or agent."""
    shown = reads.person_page(_find(request, username), who(request), clock.now())
    context = {"shown": shown, "told": [(entry, sentence(entry)) for entry in shown.entries]}
    return render(request, "accounts/person.html", context)


@page(ACT)
def end_all(request: HttpRequest, username: str) -> HttpResponse:
    """End all that one identity holds and the reader may end."""
    found = _find(request, username)
    ended = end_all_of(
        identity_id=found.pk, actor=who(request), now=clock.now(), note=request.POST.get("note", "")
    )
    count = f"{len(ended)} grant{'s' if len(ended) != 1 else ''}"
    messages.success(request, f"{count} of {found} ended: nothing new runs from now on.")
    return redirect("person", username)


@page(ACT)
def switch(request: HttpRequest, identity: int) -> HttpResponse:
    """Disable an identity, which ends all that it holds, or enable it again."""
    if not who(request).is_superuser:
        raise Http404
    change = enable_identity if request.POST.get("enable") == "1" else disable_identity
    changed = change(identity_id=identity, actor=who(request), now=clock.now())
    word = "enabled" if changed.is_active else "disabled, and all that it held is ending"
    messages.success(request, f"{changed} is {word}.")
    return back(request, "people")


@page()
def can(request: HttpRequest) -> HttpResponse:
    """Who can run a command on a cluster, now or by asking."""
    me = who(request)
    asked = {name: _text(request, name) for name in ("cluster", "target", "set")}
    asked["line"] = _text(request, "line", LONGEST_LINE)
    form = who_can_form(me, asked["cluster"])
    answer: WhoCan | None = None
    if form.cluster and (asked["line"] or asked["set"]):
        answer = who_can(
            form.cluster,
            me,
            clock.now(),
            target=asked["target"],
            line=asked["line"],
            command_set=asked["set"],
        )
    return render(request, "sessions/who_can.html", {"asked": asked, "form": form, "answer": answer})

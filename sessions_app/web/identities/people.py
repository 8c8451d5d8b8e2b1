"""Views for people and machines, and for the page "Who can run this?"."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.models import Identity, Kind
from accounts.queries import groups
from broker.kernel import clock
from broker.kernel.errors import NotFound, StintError
from sessions_app.operations.grants.end_all_of import end_all_of
from sessions_app.operations.identities.change_identity import WouldBeOnePerson, change_identity
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity
from sessions_app.operations.identities.reset_factors import reset_factors
from sessions_app.operations.identities.unlink_provider import unlink_provider
from sessions_app.queries.identities.people import known_people
from sessions_app.web.display.sentences import sentence
from sessions_app.web.display.states import plural
from sessions_app.web.forms.saving import SaveResult
from sessions_app.web.identities import people_page as reads
from sessions_app.web.identities.identity_form import add_identity, press_group
from sessions_app.web.identities.who_can_form import who_can_form
from sessions_app.web.identities.who_can_page import WhoCan, who_can
from sessions_app.web.layout.views import ACT, FORM, back, page, who

LONGEST = 100
LONGEST_LINE = 2000


@page()
def people(request: HttpRequest) -> HttpResponse:
    """List the visible identities."""
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
        "rows": [reads.person_row(one, clock.now()) for one in found.rows],
        "asked": asked,
        "kinds": Kind.choices,
        "states": reads.states(who(request)),
        "filtered": any(asked.values()),
        "may_manage": who(request).is_superuser,
    }
    return render(request, "identities/people.html", context)


def _text(request: HttpRequest, name: str, longest: int = LONGEST) -> str:
    return request.GET.get(name, "").replace("\0", "").strip()[:longest]


def _find(request: HttpRequest, username: str) -> Identity:
    """Return an identity. Raises Http404 if it doesn't exist or the reader can't see it."""
    found = known_people(who(request)).select_related("owner").prefetch_related("groups")
    person = found.filter(username=username).first()
    if person is None:
        raise Http404
    return person


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Add a person, a service or an agent."""
    if not who(request).is_superuser:
        raise Http404
    if request.method != "POST":
        return _new(request)
    try:
        made, password = add_identity(request)
    except StintError as error:
        return _new(request, error=error, typed=request.POST)
    if made.is_person:
        return _new(request, made=made, password=password)
    messages.success(request, f"{made} was created. {made.owner} can add its keys and tokens.")
    return redirect("person", made.username)


def _new(request: HttpRequest, error: StintError | None = None, **more: Any) -> HttpResponse:
    typed = more.get("typed", {})
    context = {
        "kinds": Kind.choices,
        "kind": typed.get("kind") or Kind.PERSON,
        "people": reads.owners(),
        "error": error,
        "existing": f"Existing groups: {', '.join(groups())}." if groups() else "There are no groups yet.",
        **more,
    }
    return render(request, "identities/person_new.html", context, status=error.status if error else 200)


@page()
def person(request: HttpRequest, username: str) -> HttpResponse:
    """Show one person, service or agent."""
    return _person(request, _find(request, username))


def _person(
    request: HttpRequest,
    found: Identity,
    outcome: SaveResult | None = None,
    refused: StintError | None = None,
    form: str = "change",
) -> HttpResponse:
    """Show an identity. ``outcome`` is the result of changing its groups, ``refused`` the error of another
    form.
    """
    shown = reads.person_page(found, who(request), clock.now())
    error = outcome.error if outcome else None
    changing = refused is not None and form == "change"
    context = {
        "shown": shown,
        "told": [(entry, sentence(entry)) for entry in shown.entries],
        "outcome": outcome,
        "error": error,
        "groups": groups() if who(request).is_superuser else [],
        "typed_group": request.POST.get("group", "") if error else "",
        "refused": refused,
        "form": form if refused else "",
        "note": request.POST.get("note", ""),
        "reason": request.POST.get("reason", ""),
        "typed": request.POST if changing else {"name": found.name, "email": found.email},
        "would_join": isinstance(refused, WouldBeOnePerson),
        "may_manage": who(request).is_superuser,
        "may_switch": who(request).is_superuser and found != who(request),
    }
    wrong = error or refused
    return render(request, "identities/person.html", context, status=wrong.status if wrong else 200)


@page(ACT)
def change(request: HttpRequest, username: str) -> HttpResponse:
    """Change a person's name and email address."""
    if not who(request).is_superuser:
        raise Http404
    found, sent = _find(request, username), request.POST
    try:
        changed = change_identity(
            identity_id=found.pk,
            name=sent.get("name", ""),
            email=sent.get("email", found.email),
            one_person=sent.get("one_person") == "1",
            actor=who(request),
            now=clock.now(),
        )
    except NotFound:
        raise
    except StintError as error:
        return _person(request, found, refused=error)
    messages.success(request, f"{changed} was updated and notified.")
    return redirect(f"{reverse('person', args=[username])}#change")


@page(ACT)
def change_groups(request: HttpRequest, username: str) -> HttpResponse:
    """Add an identity to a group, or remove it. If grants would end, list them first."""
    if not who(request).is_superuser:
        raise Http404
    found = _find(request, username)
    try:
        outcome = press_group(request, found.username)
    except StintError as error:
        outcome = SaveResult(error=error)
    if not outcome.saved:
        return _person(request, found, outcome)
    group = request.POST["group"].strip().replace(" ", "-")
    removed = request.POST.get("out") == "1"
    messages.success(request, f"Removed {found} from {group}." if removed else f"Added {found} to {group}.")
    return redirect(f"{reverse('person', args=[username])}#groups")


@page(ACT)
def unlink(request: HttpRequest, username: str) -> HttpResponse:
    """Unlink a person from the identity provider, and sign them out."""
    if not who(request).is_superuser:
        raise Http404
    found = unlink_provider(identity_id=_find(request, username).pk, actor=who(request), now=clock.now())
    messages.success(request, f"{found} is unlinked and signed out everywhere.")
    return redirect("person", username)


@page(ACT)
def end_all(request: HttpRequest, username: str) -> HttpResponse:
    """End all grants of an identity that the reader is allowed to end."""
    found = _find(request, username)
    try:
        ended = end_all_of(
            identity_id=found.pk, actor=who(request), now=clock.now(), note=request.POST.get("note", "")
        )
    except NotFound:
        raise
    except StintError as error:
        return _person(request, found, refused=error, form="end")
    messages.success(request, f"Ended {plural(len(ended), 'grant')} of {found}. Nothing new can start.")
    return redirect("person", username)


@page(ACT)
def reset(request: HttpRequest, username: str) -> HttpResponse:
    """Reset two-factor authentication for a person who lost their factors."""
    if not who(request).is_superuser:
        raise Http404
    found = _find(request, username)
    reason = request.POST.get("reason", "")
    try:
        reset_factors(identity_id=found.pk, reason=reason, actor=who(request), now=clock.now())
    except NotFound:
        raise
    except StintError as error:
        return _person(request, found, refused=error, form="factors")
    messages.success(request, f"Reset two-factor for {found}, who is signed out everywhere.")
    return redirect("person", username)


@page(ACT)
def switch(request: HttpRequest, identity: int) -> HttpResponse:
    """Disable an identity, which ends all its access, or enable it again."""
    if not who(request).is_superuser:
        raise Http404
    change = enable_identity if request.POST.get("enable") == "1" else disable_identity
    changed = change(identity_id=identity, actor=who(request), now=clock.now())
    word = "enabled." if changed.is_active else "disabled. None of their access can be used anymore."
    messages.success(request, f"{changed} is {word}")
    return back(request, "people")


@page()
def can(request: HttpRequest) -> HttpResponse:
    """Show who can run a command on a cluster, now or after a request."""
    me, now = who(request), clock.now()
    asked = {name: _text(request, name) for name in ("cluster", "target", "set")}
    asked["line"] = _text(request, "line", LONGEST_LINE)
    form = who_can_form(me, asked["cluster"], now)
    answer: WhoCan | None = None
    if form.cluster and (asked["line"] or asked["set"]):
        answer = who_can(
            form.cluster,
            me,
            now,
            target=asked["target"],
            line=asked["line"],
            command_set=asked["set"],
        )
    return render(request, "identities/who_can.html", {"asked": asked, "form": form, "answer": answer})

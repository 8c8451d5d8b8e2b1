"""Views for single commands of a grant: their output, and decisions on held commands."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails

from accounts.models import Identity
from broker.kernel import clock
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.remind_hold import remind_hold
from sessions_app.operations.sessions.stop_run import stop_run
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from sessions_app.queries.gateways.watches import watchable
from sessions_app.queries.grants.suspensions import suspension
from sessions_app.queries.requests.alike import together
from sessions_app.queries.requests.deciders import deciders_in
from sessions_app.queries.requests.waiting import holds_for
from sessions_app.web.display.held import Hold, HoldGroup, hold_group, shown_holds
from sessions_app.web.display.recording import output_for, shown_for
from sessions_app.web.display.results import is_result, result_of, rows_of
from sessions_app.web.forms.suspend_form import suspend_form
from sessions_app.web.grants.grant_page import end_form
from sessions_app.web.layout.downloads import csv_file
from sessions_app.web.layout.views import ACT, back, page, who
from sessions_app.web.templatetags.stint import some_of


def _find(request: HttpRequest, ref: str, run: int) -> CommandRun:
    found = (
        CommandRun.objects.visible_to(who(request))
        .select_related(
            "grant__holder",
            "grant__held_by",
            "grant__cluster",
            "grant__policy",
            "grant__command_set_version__command_set",
            "target",
            "order",
        )
        .filter(pk=run, grant__ref=ref)
        .first()
    )
    if found is None:
        raise Http404
    return found


@page(writes=True)
def output(request: HttpRequest, ref: str, run: int) -> HttpResponse | StreamingHttpResponse:
    """Show the output of a command, up to now if it is running. Return 204 if the recording still has
    ``size`` bytes. With ``as=csv``, return the result of a statement that was started on the page as a file.
    """
    found = _find(request, ref, run)
    running = found.state == RunState.RUNNING
    context = {"run": found, "grant": found.grant, "running": running}
    if request.GET.get("as") == "csv":
        return _csv(found, who(request))
    if is_result(found):
        context |= result_of(found, who(request), clock.now())
        return render(request, "grants/_run_output.html", context)
    shown = output_for(found, who(request), clock.now())
    if request.GET.get("size") == str(shown.size if shown else 0):
        return HttpResponse(status=204)
    return render(request, "grants/_run_output.html", {**context, "output": shown})


def _csv(run: CommandRun, reader: Identity) -> StreamingHttpResponse:
    kept = is_result(run) and run.recording
    rows = shown_for(run, reader, clock.now(), rows_of) if kept else None
    if not rows:
        raise Http404
    return csv_file(f"{run.grant.ref}-{run.pk}.csv", [name or "" for name in rows[0]], rows[1:])


@page()
def watch(request: HttpRequest, ref: str, run: int) -> HttpResponse:
    """Show the live terminal of a running command, as a fragment for a page that requests one, or as a full
    page.

    The script of the terminal then requests the output, and that request is recorded.
    """
    found, now = _find(request, ref, run), clock.now()
    seen = f"{found.state}-{found.decided_at is not None}-{found.grant.held_at is not None}"
    if request.GET.get("seen") == seen:
        return HttpResponse(status=204)
    waits = found.may_yet_run(now) or found.state == RunState.ALLOWED
    ending = end_form(found.grant, who(request), now)
    part: HtmxDetails | None = getattr(request, "htmx", None)
    context = {
        "run": found,
        "grant": found.grant,
        "running": found.state == RunState.RUNNING,
        "waits": waits,
        "seen": seen,
        "wait": _wait(found, who(request), now) if found.waits(now) else None,
        "stoppable": watchable(found) and ending is not None,
        "ending": ending,
        "suspension": suspension(found.grant) if found.grant.held_at else "",
        "suspending": suspend_form(found.grant, who(request), now, ending.ending) if ending else None,
        "next": (part and part.current_url_abs_path) or request.get_full_path(),
    }
    return render(request, "grants/_screen.html" if part else "grants/watch.html", context)


class _Wait(NamedTuple):
    """The people who can allow a held command. ``hold`` and ``group``, the commands that wait alike, are for
    readers who can.
    """

    deciders: str
    hold: Hold | None = None
    group: HoldGroup | None = None


def _wait(run: CommandRun, reader: Identity, now: dt.datetime) -> _Wait:
    deciders = some_of(sorted(deciders_in(run.grant), key=str))
    for alike in together(list(holds_for(reader, now))):
        if run in alike:
            ((hold,),) = shown_holds([alike[alike.index(run)]], reader, now)[1:]
            group = hold_group(alike, {}, reader, now) if len(alike) > 1 else None
            return _Wait(deciders, hold, group)
    return _Wait(deciders)


_VERDICTS = {
    "allow": "allowed once",
    "allow_times": "",
    "allow_grant": "allowed for the rest of this grant",
    "deny": "denied",
}


@page(ACT)
def decide(request: HttpRequest, ref: str, run: int) -> HttpResponse:
    """Allow one held command, or deny it."""
    found = _find(request, ref, run)
    verdict = request.POST.get("verdict", "")
    if verdict not in _VERDICTS:
        raise Http404
    decided = decide_hold(
        run_id=found.pk,
        actor=who(request),
        allow=verdict != "deny",
        for_grant=verdict == "allow_grant",
        times=_times(request) if verdict == "allow_times" else 1,
        now=clock.now(),
    )
    word = _VERDICTS[verdict] if verdict != "allow_times" else f"allowed {decided.allowed_times or 1} times"
    messages.success(request, f"{decided.line} on {decided.target} {word}.")
    return back(request, "grant", ref)


def _times(request: HttpRequest) -> int:
    """Return how often a command may run; 0, which is refused, for text that is not a number."""
    said = request.POST.get("times", "")
    return int(said) if said.isdecimal() and len(said) < 4 else 0


@page(ACT)
def stop(request: HttpRequest, ref: str, run: int) -> HttpResponse:
    """End a running command, while its grant continues."""
    stopped = stop_run(run_id=_find(request, ref, run).pk, actor=who(request), now=clock.now())
    messages.success(request, f"{stopped.line} on {stopped.target} was ended. {ref} continues.")
    return back(request, "grant", ref)


@page(ACT)
def remind(request: HttpRequest, ref: str, run: int) -> HttpResponse:
    """Remind the people who can approve one of the reader's held commands."""
    found = remind_hold(run_id=_find(request, ref, run).pk, actor=who(request), now=clock.now())
    messages.success(request, f"Approvers of {found.line} reminded.")
    return back(request, "grant", ref)


@page(ACT)
def withdraw(request: HttpRequest, ref: str, run: int) -> HttpResponse:
    """Withdraw one of the reader's held commands."""
    found = withdraw_hold(run_id=_find(request, ref, run).pk, actor=who(request), now=clock.now())
    messages.success(request, f"{found.line} on {found.target} withdrawn.")
    return back(request, "grant", ref)

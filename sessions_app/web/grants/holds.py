"""The view that decides several held commands in one act."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse

from accounts.models import Identity
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.models import CommandRun
from sessions_app.operations.sessions.decide_holds import MOST, HoldOutcome, ReadHold, decide_holds
from sessions_app.web.display.states import plural
from sessions_app.web.layout.views import ACT, back, page, who

_HOLD = re.compile(r"([0-9]{1,18})\.([0-9a-f]{64})")
_VERDICTS = {"allow": "allowed", "deny": "denied"}
# More commands that were not decided are only counted.
_SHOWN = 3


@page(ACT)
def decide_together(request: HttpRequest) -> HttpResponse:
    """Allow or deny the selected commands, each as the page showed it."""
    verdict = request.POST.get("verdict", "")
    if verdict not in _VERDICTS:
        raise Http404
    outcomes = decide_holds(
        holds=_selected(request), actor=who(request), allow=verdict == "allow", now=clock.now()
    )
    decided = sum(outcome.error is None for outcome in outcomes)
    if decided:
        messages.success(request, f"{plural(decided, 'command')} {_VERDICTS[verdict]}.")
    if missed := [outcome for outcome in outcomes if outcome.error is not None]:
        messages.warning(request, _missed(missed, who(request)))
    return back(request, "approvals")


def _selected(request: HttpRequest) -> list[ReadHold]:
    """Return the selected commands. Raises InvalidInput."""
    found = [_HOLD.fullmatch(text) for text in dict.fromkeys(request.POST.getlist("hold"))]
    holds = [ReadHold(int(one[1]), one[2]) for one in found if one]
    if not holds:
        raise InvalidInput("No command is selected.", hint="Go back and select at least one.")
    if len(holds) < len(found) or len(holds) > MOST:
        raise InvalidInput("The form isn't valid.", hint="Reload the page and decide again.")
    return holds


def _missed(missed: Sequence[HoldOutcome], reader: Identity) -> str:
    """Return a sentence about each command that was not decided, and why."""
    runs = CommandRun.objects.visible_to(reader).select_related("target")
    seen = {run.pk: run for run in runs.filter(pk__in=[one.run_id for one in missed[:_SHOWN]])}
    said = [f"{plural(len(missed), 'command')} not decided."]
    for one in missed[:_SHOWN]:
        run = seen.get(one.run_id)
        said.append(f"{run.line[:100]} on {run.target}: {one.error}" if run else str(one.error))
    return " ".join(said)

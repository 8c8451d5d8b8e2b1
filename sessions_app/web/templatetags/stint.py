"""Tags and filters that every page has."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django import template
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.models import AuditEntry
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import (
    AccessRequest,
    CommandRun,
    CommandSetVersion,
    Grant,
    GrantState,
    RunState,
    Verdict,
)
from sessions_app.operations.catalogue.publish_command_set import accepted_findings, key_of
from sessions_app.operations.requests.check_request import Preview
from sessions_app.policy.decision import RuleResult, say_utc
from sessions_app.policy.durations import say_duration
from sessions_app.queries.extents import left_duration
from sessions_app.queries.facts import clauses_of, readable_document
from sessions_app.queries.grants import WITHDRAWN
from sessions_app.queries.starts import later_start
from sessions_app.web.catalogue.clusters_page import Health
from sessions_app.web.requests.asking_page import AskPage, SetOption
from sessions_app.web.shell import words
from sessions_app.web.templatetags.times import say_both, say_moment, say_rough

register = template.Library()

_DOT = SafeString('<span class="live"></span>')


@register.simple_tag
def icon(name: str) -> SafeString:
    """A glyph of the sprite; it says nothing to screen readers, for a word stands beside it."""
    return format_html(
        '<svg class="i" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name
    )


@register.simple_tag
def face(identity: Identity, tone: str = "info") -> SafeString:
    """The round picture of a person, or the square one of a machine."""
    if identity.is_person:
        return format_html('<span class="face t-{}" aria-hidden="true">{}</span>', tone, identity.initials)
    return format_html('<span class="face bot t-{}" aria-hidden="true">{}</span>', tone, icon("robot"))


@register.simple_tag
def pill(look: words.Look, text: str = "") -> SafeString:
    """A state as a tone, a glyph and a word."""
    mark = icon(look.icon) if look.icon else _DOT
    return format_html('<span class="pill t-{}">{}{}</span>', look.tone, mark, text or look.word)


@register.filter
def request_look(state: str) -> words.Look:
    """How a request's state looks."""
    return words.REQUEST.get(state, words.UNKNOWN)


@register.filter
def grant_look(grant: Grant) -> words.Look:
    """How a grant's state looks."""
    return words.grant_look(grant, clock.now())


@register.filter
def run_look(run: CommandRun) -> words.Look:
    """How a command run's state looks; a hold that nobody allowed in time lapses by the clock."""
    if run.state == RunState.HELD and not run.may_yet_run(clock.now()):
        return words.RUN[RunState.HOLD_LAPSED]
    if run.state == RunState.CUT and run.reason == WITHDRAWN:
        return words.WITHDRAWN
    if run.state == RunState.DONE and (run.signal or run.exit_status):
        return words.DONE_BADLY
    return words.RUN.get(run.state, words.UNKNOWN)


@register.filter
def is_running(grant: Grant) -> bool:
    """Whether a grant is in use and its time is not over."""
    return grant.state == GrantState.ACTIVE and grant.expires_at > clock.now()


@register.filter
def effect_look(effect: str) -> words.Look:
    """How a command's effect looks."""
    return words.EFFECT.get(effect, words.UNKNOWN)


@register.filter
def risk_look(risk: str) -> words.Look:
    """How a risk looks."""
    return words.RISK.get(risk, words.UNKNOWN)


@register.filter
def workflow_look(kind: str) -> words.Look:
    """How work of a kind looks."""
    return words.WORK.get(kind, words.UNKNOWN)


@register.filter
def health_look(health: Health) -> words.Look:
    """How the connection of a cluster looks."""
    return words.health_look(health.targets, health.failing, health.unchecked)


@register.filter
def coded(text: str) -> SafeString:
    """A text in which what stands between backticks is shown as code."""
    parts = str(text).split("`")
    return format_html_join(
        "",
        "{}",
        (
            (format_html("<code>{}</code>", one) if at % 2 and at < len(parts) - 1 else one,)
            for at, one in enumerate(parts)
        ),
    )


@register.filter
def end_sentence(grant: Grant) -> str:
    """Why a grant ended."""
    return words.end_sentence(grant)


@register.filter
def get(mapping: dict[Any, Any], key: Any) -> Any:
    """The value under a key, or None."""
    return mapping.get(key)


@register.filter
def plural(count: int, noun: str) -> str:
    """`1 target`, `2 targets`; `entry,entries` gives both forms."""
    one, _, many = noun.partition(",")
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """The page's own query string with some values changed; empty ones are left out."""
    values = {name: items for name, items in context["request"].GET.lists() if items != [""]}
    for name, value in changes.items():
        values.pop(name, None)
        if value not in (None, ""):
            values[name] = [str(value)]
    return "?" + urlencode(values, doseq=True)


@register.simple_tag
def ask_link(**values: Any) -> str:
    """The query string that fills the form for a new request."""
    return "?" + urlencode({name: value for name, value in values.items() if value}, doseq=True)


class Extension(NamedTuple):
    """By how much a holder may extend a grant, and whether somebody has to approve it."""

    seconds: int
    approval: bool


@register.simple_tag
def extension(grant: Grant) -> Extension | None:
    """The longest extension that the policy allows at a time now; None when the grant can't be extended."""
    return max(extensions(grant), default=None)


HALF_AN_HOUR = 1800


@register.simple_tag
def extensions(grant: Grant) -> list[Extension]:
    """What the policy says about extending this grant now: half an hour and the most at a time, or nothing."""
    document = readable_document(grant.policy)
    if document is None or document.extension is None or grant.review_due_at or not is_running(grant):
        return []
    approval = bool(document.clauses) and document.extension.approvals == "same"
    return [
        Extension(seconds, approval)
        for seconds in sorted({min(HALF_AN_HOUR, document.extension.by), document.extension.by})
    ]


@register.filter
def used(grant: Grant) -> str:
    """How much of a grant's time is over, for the width of a bar: `29.4%`."""
    whole = (grant.expires_at - grant.starts_at).total_seconds()
    over = ((grant.ended_at or clock.now()) - grant.starts_at).total_seconds()
    return f"{min(100.0, max(0.0, over / whole * 100)):.1f}%"


@register.filter
def tone(grant: Grant) -> str:
    """The tone of a grant's card."""
    if grant.state == GrantState.ACTIVE and grant.break_glass:
        return "glass"
    return words.grant_look(grant, clock.now()).tone


@register.filter
def given(request: AccessRequest) -> str:
    """How many approvals a request has of those it needs. Uses what was prefetched."""
    document = readable_document(request.policy)
    needed = sum(clause.count for clause in clauses_of(request, document)) if document else "?"
    yes = sum(
        1
        for approval in request.approvals.all()
        if approval.voided_at is None and approval.verdict == Verdict.APPROVE
    )
    return f"{yes} of {needed} approval{'' if needed == 1 else 's'} given"


@register.filter(name="left_duration")
def duration_left(request: AccessRequest) -> int:
    """For how many seconds a request still is, after those who approved so far. Uses what was prefetched."""
    return left_duration(request)


@register.filter
def narrowed_by(request: AccessRequest) -> str:
    """Who of those who approved a request so far left less of it. Uses what was prefetched."""
    found = [one for one in request.approvals.all() if one.voided_at is None and one.narrowing]
    return " and ".join(str(one.approver) for one in found)


@register.filter
def awaited(request: AccessRequest) -> str:
    """For whose approval a request waits, as its policy says: `approvers or owners, and security`."""
    document = readable_document(request.policy)
    clauses = clauses_of(request, document) if document else ()
    return ", and ".join(dict.fromkeys(" or ".join(clause.groups) for clause in clauses))


@register.filter
def some_of(people: Sequence[Identity]) -> str:
    """People by name: `Ana Ruiz`, `Ana Ruiz and Bo`, `Ana Ruiz and 2 others`."""
    if len(people) > 2:
        return f"{people[0]} and {len(people) - 1} others"
    return " and ".join(map(str, people))


@register.filter
def needed(preview: Preview) -> int:
    """How many approvals a request would need."""
    return sum(clause.count for clause in preview.decision.clauses)


@register.filter
def in_zone(text: str, said: RuleResult | StintError) -> str:
    """The words of a rule or a refusal, with the moments that they name in the reader's zone, and in UTC where that differs."""
    for moment in said.moments:
        text = text.replace(say_utc(moment), say_both(moment, clock.now()))
    return text


@register.filter
def start_of(request: AccessRequest) -> dt.datetime | None:
    """When a request that waits would begin, at its own start or with its work; None when that is with its approval."""
    return request.starts_at or later_start(request, clock.now())


@register.filter
def offers(result: RuleResult, preview: Preview) -> list[tuple[str, str]]:
    """The fixes of a refusal as buttons: the value that the form sends, and the label."""
    found = []
    for name, value in result.offer.items():
        if name == "duration":
            found.append((f"duration={value}", f"Make it {say_duration(value)}"))
        elif name == "workflow":
            found += [(f"workflow={ref}", f"For {ref}") for ref in value]
        elif name == "starts_at" and value is None:
            found.append(("starts_at=", _without_start(preview)))
        elif name == "starts_at":
            moment = dt.datetime.fromisoformat(value)
            found.append((f"starts_at={value}", f"Start {say_moment(moment, clock.now())}"))
    return found


def _without_start(preview: Preview) -> str:
    workflow = preview.workflow
    if workflow and workflow.starts_at and workflow.starts_at > clock.now():
        return f"Start with {workflow.ref}"
    return "Start as soon as it is approved"


@register.filter
def without_approval(ask: AskPage) -> SetOption | None:
    """Another command set on the same cluster that needs no approval."""
    return next(
        (option for option in ask.sets if not option.approvals and option.name != ask.draft.command_set), None
    )


@register.filter
def text(value: object) -> str:
    """A value as text, to compare it with what a form sent."""
    return str(value)


register.filter(accepted_findings)


@register.filter
def took(run: CommandRun) -> str:
    """How long a command ran: `0.9 s`, `11 s`, `3 min`."""
    if run.started_at is None or run.ended_at is None:
        return ""
    seconds = (run.ended_at - run.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else say_rough(int(seconds))


@register.filter
def accepted_reason(version: CommandSetVersion, finding: dict[str, str]) -> str:
    """Why a warning was accepted; empty when it was not."""
    reason: str = version.accepted.get(key_of(finding), "")
    return reason


@register.filter
def moment(seconds: float) -> str:
    """A moment of a recording as an address has it: `12.5`."""
    return f"{seconds:.1f}"


@register.filter
def clock_time(seconds: float) -> str:
    """A moment of a recording as people read it: `0:12.5`."""
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"


@register.filter
def as_json(value: object) -> str:
    """A value for a data attribute; the template escapes it."""
    return json.dumps(value)


@register.filter
def thousands(number: int) -> str:
    """A whole number as people read it: `48,211`."""
    return f"{number:,}"


@register.filter(name="hex")
def in_hex(data: bytes) -> str:
    """Bytes as people compare them."""
    return bytes(data).hex()


@register.filter
def entry_url(entry: AuditEntry) -> str:
    """The page of what an entry is about; empty when it has none, as a name that was only tried."""
    if entry.event == Event.IDENTITY_SIGN_IN_FAILED:
        return ""
    name = {
        "grant": "grant",
        "request": "request",
        "cluster": "cluster",
        "command_set": "command_set",
        "policy": "policy",
        "identity": "person",
        "workflow": "incident",
        "workflow_source": "source",
        "webhook": "webhook",
        "trust_policy": "trust_policy_edit",
    }
    try:
        return reverse(name[entry.object_type], args=[entry.object_ref])
    except (KeyError, NoReverseMatch):
        return ""

"""Tags and filters for all pages."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import template
from django.contrib.messages.storage.base import Message
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import Identity
from broker.kernel import request_id
from broker.kernel.errors import StintError
from sessions_app.models import (
    AccessRequest,
    CommandRun,
    Grant,
    GrantState,
    Workflow,
)
from sessions_app.operations.catalog.publish_command_set import accepted_findings
from sessions_app.policy.decision import RuleResult, say_utc
from sessions_app.web.display import states as words
from sessions_app.web.display.timeline_chart import Tick
from sessions_app.web.moment import page_now
from sessions_app.web.templatetags.times import say_both

register = template.Library()

_DOT = SafeString('<span class="live"></span>')


@register.simple_tag
@functools.lru_cache(maxsize=256)
def icon(name: str) -> SafeString:
    """Return an icon of the sprite. Screen readers skip the icon, because a word is always beside it."""
    return format_html(
        '<svg class="i" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name
    )


@register.simple_tag
def face(identity: Identity, tone: str = "info") -> SafeString:
    """Return the round avatar of a person, or the square one of a machine."""
    if identity.is_person:
        return format_html('<span class="face t-{}" aria-hidden="true">{}</span>', tone, identity.initials)
    return format_html('<span class="face bot t-{}" aria-hidden="true">{}</span>', tone, icon("robot"))


@register.filter
def tick_lines(ticks: Sequence[Tick]) -> SafeString:
    """Return the lines of a chart's ticks, which are the same for each row."""
    line = '<line class="tickline" x1="{}" x2="{}" y1="0" y2="100%"/>'
    return format_html_join("", line, ((tick.x, tick.x) for tick in ticks))


@register.simple_tag
def pill(look: words.Look, text: str = "") -> SafeString:
    """Return a state as a pill with a tone, an icon and a word."""
    mark = icon(look.icon) if look.icon else _DOT
    return format_html('<span class="pill t-{}">{}{}</span>', look.tone, mark, text or look.word)


@register.simple_tag
def reference() -> SafeString | str:
    """Return the ID of the HTTP request, which its log lines also contain; empty if there is none."""
    id_ = request_id.current()
    return format_html('<p class="small muted">Reference: <code>{}</code></p>', id_) if id_ else ""


@register.filter
def request_look(request: AccessRequest) -> words.Look:
    """Return the display style of a request's state."""
    return words.request_look(request, page_now())


@register.filter
def grant_look(grant: Grant) -> words.Look:
    """Return the display style of a grant's state."""
    return words.grant_look(grant, page_now())


@register.filter
def run_look(run: CommandRun) -> words.Look:
    """Return the display style of a command run's state."""
    return words.run_look(run, page_now())


@register.filter
def is_running(grant: Grant) -> bool:
    """Whether a grant is in use and has not expired."""
    return grant.state == GrantState.ACTIVE and grant.expires_at > page_now()


@register.filter
def effect_look(effect: str) -> words.Look:
    """Return the display style of a command's effect."""
    return words.EFFECT.get(effect, words.UNKNOWN)


@register.filter
def risk_look(risk: str) -> words.Look:
    """Return the display style of a risk level."""
    return words.RISK.get(risk, words.UNKNOWN)


@register.filter
def change_look(action: str) -> words.Look:
    """Return the display style of a difference between two versions."""
    return words.CHANGE[action]


register.filter(words.line_style)
register.filter(words.step_look)


@register.filter
def message_look(message: Message) -> words.Look:
    """Return the display style of a message at the top of a page."""
    return words.MESSAGE.get(message.level_tag, words.MESSAGE["success"])


@register.filter
def workflow_state(workflow: Workflow) -> words.Look:
    """Return the display style of a workflow's state."""
    return words.workflow_state(workflow)


@register.filter
def coded(text: str) -> SafeString:
    """Return a string with all text between backticks marked up as code."""
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
def get(mapping: dict[Any, Any], key: Any) -> Any:
    """Return the value under a key, or None."""
    return mapping.get(key)


@register.filter
def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 target`, `2 targets`. `entry,entries` gives both forms."""
    return words.plural(count, noun)


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """Return the page's query string with some values changed. Empty values are removed."""
    values = {name: items for name, items in context["request"].GET.lists() if items != [""]}
    for name, value in changes.items():
        values.pop(name, None)
        if value not in (None, ""):
            values[name] = [str(value)]
    return "?" + urlencode(values, doseq=True)


@register.simple_tag
def options(names: Sequence[str], chosen: str = "") -> SafeString:
    """Return the options of a list to choose from, each with its name as its value."""
    found, option = _options(tuple(names)), format_html('<option value="{}"', chosen)
    return SafeString(found.replace(f"{option}>", f"{option} selected>", 1))


@functools.lru_cache(maxsize=256)
def _options(names: tuple[str, ...]) -> SafeString:
    return format_html_join("", '<option value="{0}">{0}</option>', ((name,) for name in names))


@register.simple_tag
def ask_link(**values: Any) -> str:
    """Return the query string that prefills the request form."""
    return "?" + urlencode({name: value for name, value in values.items() if value}, doseq=True)


@register.filter
def tone(grant: Grant) -> str:
    """Return the tone of a grant's card."""
    if grant.state == GrantState.ACTIVE and grant.break_glass:
        return "glass"
    return words.grant_look(grant, page_now()).tone


@register.filter
def some_of(people: Sequence[Identity]) -> str:
    """Return the names of people: `Ana Ruiz`, `Ana Ruiz and Bo`, `Ana Ruiz and 2 others`."""
    if len(people) > 2:
        return f"{people[0]} and {len(people) - 1} others"
    return " and ".join(map(str, people))


@register.filter
def in_zone(text: str, said: RuleResult | StintError) -> str:
    """Return the text of a rule or an error with its times in the reader's time zone, and in UTC if that
    differs.
    """
    for moment in said.moments:
        text = text.replace(say_utc(moment), say_both(moment, page_now()))
    return text


@register.filter
def text(value: object) -> str:
    """Return a value as text, for comparison with the text from a form."""
    return str(value)


register.filter(accepted_findings)


register.filter(words.took)


@register.filter
def moment(seconds: float) -> str:
    """Return a time in a recording, for use in an address: `12.5`."""
    return f"{seconds:.1f}"


@register.filter
def clock_time(seconds: float) -> str:
    """Return a time in a recording for display: `0:12.5`."""
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"


@register.filter
def as_json(value: object) -> str:
    """Return a value as JSON for a data attribute. The template escapes it."""
    return json.dumps(value)


@register.filter
def thousands(number: int) -> str:
    """Return a whole number for display: `48,211`."""
    return f"{number:,}"


@register.filter(name="hex")
def in_hex(data: bytes) -> str:
    """Return bytes in hexadecimal."""
    return bytes(data).hex()

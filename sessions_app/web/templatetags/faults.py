"""Tags that mark the fields of a form which are wrong, say why below each, and put the focus on the first."""

from __future__ import annotations

from collections.abc import Mapping

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from broker.kernel.errors import StintError
from sessions_app.web.shell.faults import Faults, faults_of
from sessions_app.web.templatetags.stint import coded, icon

register = template.Library()

_KEY = "faults"


@register.simple_tag(takes_context=True)
def faults(context: template.Context, error: object, names: str = "", form: str = "") -> SafeString:
    """Say above a form what of an error (or of its Faults) has no field, and keep the rest for its fields; of the named form alone, where a page has several."""
    shown = not form or context.get("form") == form
    found = (
        error
        if isinstance(error, Faults)
        else faults_of(error if isinstance(error, StintError) and shown else None, names)
    )
    context[_KEY] = found
    if not found.above:
        return SafeString("")
    first, *rest = map(coded, found.above)
    more = format_html_join(" ", "{}", ((text,) for text in rest))
    return format_html(
        '<div class="note t-bad" role="alert">{}<div><b>{}</b> {}</div></div>', icon("alert"), first, more
    )


@register.simple_tag(takes_context=True)
def wrong(context: template.Context, name: str, described: str = "", *, choice: bool = False) -> SafeString:
    """Return the attributes of an input: what describes it, and, where it is wrong, that it is; the first has the focus.
    ``choice`` is for radio buttons, which alone are never invalid.
    """
    at = _at(context)
    if name not in at:
        return format_html(' aria-describedby="{}"', described) if described else SafeString("")
    invalid = SafeString("" if choice else ' aria-invalid="true"')
    focus = SafeString(" autofocus" if name == next(iter(at)) else "")
    return format_html('{}{} aria-describedby="{}"', invalid, focus, f"{described} {_id(name)}".strip())


@register.simple_tag(takes_context=True)
def why(context: template.Context, name: str) -> SafeString:
    """Return what is wrong with a field, to stand below it."""
    text = _at(context).get(name, "")
    return (
        format_html('<span class="error" id="{}">{}</span>', _id(name), coded(text))
        if text
        else SafeString("")
    )


def _at(context: template.Context) -> Mapping[str, str]:
    found = context.get(_KEY)
    return found.at if isinstance(found, Faults) else {}


def _id(name: str) -> str:
    return f"wrong-{name.replace('.', '-')}"

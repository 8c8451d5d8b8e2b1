"""Tags that mark the invalid fields of a form, show an error below each, and focus the first one."""

from __future__ import annotations

from collections.abc import Mapping

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from broker.kernel.errors import StintError
from sessions_app.web.forms.faults import Faults, faults_of
from sessions_app.web.templatetags.stint import coded, icon

register = template.Library()

_KEY = "faults"


@register.simple_tag(takes_context=True)
def faults(context: template.Context, error: object, names: str = "", form: str = "") -> SafeString:
    """Show the errors without a field above a form, and keep the others for their fields. The text above the
    form gets the focus if no field does.

    Don't give the form's address a fragment, because Chromium then ignores `autofocus`.

    ``form`` limits the errors to those of one form, for a page with several forms.
    """
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
    focus = SafeString("" if found.at else ' tabindex="-1" autofocus')
    more = format_html_join(" ", "{}", ((text,) for text in rest))
    return format_html(
        '<div class="note t-bad" role="alert"{}>{}<div><b>{}</b> {}</div></div>',
        focus,
        icon("alert"),
        first,
        more,
    )


@register.simple_tag(takes_context=True)
def wrong(context: template.Context, name: str, described: str = "", *, choice: bool = False) -> SafeString:
    """Return an input's attributes: its description, whether it is invalid, and the focus if it is the first
    invalid input.

    ``choice`` is for radio buttons, because a single radio button can't be invalid.
    """
    at = _at(context)
    if name not in at:
        return format_html(' aria-describedby="{}"', described) if described else SafeString("")
    invalid = SafeString("" if choice else ' aria-invalid="true"')
    focus = SafeString(" autofocus" if name == next(iter(at)) else "")
    return format_html('{}{} aria-describedby="{}"', invalid, focus, f"{described} {_id(name)}".strip())


@register.simple_tag(takes_context=True)
def why(context: template.Context, name: str) -> SafeString:
    """Return the error of a field, to show below the field."""
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

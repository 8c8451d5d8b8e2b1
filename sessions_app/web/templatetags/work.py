"""Tags and filters for the pages of incidents, requests and decisions."""

from __future__ import annotations

import secrets

from django import template
from django.utils.html import format_html

from sessions_app.models import Grant, Workflow
from sessions_app.web.display import states as words
from sessions_app.web.display.cards import RequestCard
from sessions_app.web.moment import page_now
from sessions_app.web.templatetags.times import duration, say_rough

register = template.Library()


@register.simple_tag
def once() -> str:
    """Return an idempotency key for a form, so that a second submission has no effect."""
    return secrets.token_urlsafe(16)


@register.filter
def extent(card: RequestCard) -> str:
    """Return a request's duration, with the requested one struck out if approvers reduced it."""
    left = duration(card.left)
    return format_html("{} <del>{}</del>", left, duration(card.whole)) if card.whole else left


@register.filter
def grant_word(grant: Grant) -> str:
    """Return a grant's state as one lowercase word."""
    return words.grant_look(grant, page_now()).word.lower()


@register.filter
def open_for(incident: Workflow) -> str:
    """Return how long an incident was open, or has been open so far."""
    return say_rough(int(((incident.closed_at or page_now()) - incident.opened_at).total_seconds()))


@register.filter
def said(value: object) -> str:
    """Return a value from evidence for display: lists with commas, booleans as yes and no, pairs as `name:
    value`.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "; ".join(f"{worded(str(name))}: {said(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(said, value)) or "none"
    return str(value)


@register.filter
def worded(name: str) -> str:
    """Return a field's name with spaces: `roles_left` as `roles left`."""
    return name.replace("_", " ")

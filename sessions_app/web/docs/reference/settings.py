"""The settings: environment variables."""

from __future__ import annotations

from broker.env import Group, Variable
from broker.variables import GROUPS
from sessions_app.web.docs.reference.entries import Entry, Page, Part


def page() -> Page:
    """Return the page with every environment variable."""
    return Page(
        "settings",
        "Settings",
        "Every environment variable: its values, its default, and what it does.",
        [_part(group) for group in GROUPS],
    )


def _part(group: Group) -> Part:
    return Part(group.title, [_entry(variable) for variable in group.variables], group.says)


def _entry(variable: Variable[object]) -> Entry:
    return Entry(variable.name, variable.meaning, [("Value", variable.values), ("Default", variable.default)])

"""The events of the record."""

from __future__ import annotations

from broker.audit.events import Event
from sessions_app.policy.webhooks import EVENTS
from sessions_app.web.docs.reference.entries import Entry, Page, Part


def page() -> Page:
    """Return the page with every event, grouped by the type of object."""
    families = dict.fromkeys(event.family for event in Event)
    return Page(
        "events",
        "Record events",
        "Every action in the record: when it is written, and the keys that its data can have. The key "
        "`request_id` names the HTTP request that caused the entry.",
        [_part(family) for family in families],
    )


def _part(family: str) -> Part:
    title = family.replace("_", " ").capitalize()
    return Part(title, [_entry(event) for event in Event if event.family == family])


def _entry(event: Event) -> Entry:
    facts = [("Data", ", ".join(f"`{key}`" for key in event.data))] if event.data else []
    if sent := EVENTS.get(event.value):
        names = ", ".join(f"`{name}`" for name in sent.facts)
        facts.append(("Webhooks", f"sent with {names}" if names else "sent without data"))
    return Entry(event.value, event.meaning, facts)

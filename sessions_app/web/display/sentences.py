"""Plain-language sentences for each event in the record."""

from __future__ import annotations

from broker.audit.actor import SYSTEM_PREFIX
from broker.audit.models import AuditEntry
from sessions_app.web.display import sentences_of_access, sentences_of_setup
from sessions_app.web.display.phrases import Act

LONGEST = 200
_ACTS: dict[str, Act] = {**sentences_of_access.ACTS, **sentences_of_setup.ACTS}
_PARTS = {
    "sweep": "Stint",
    "end": "Stint",
    "gateway": "The gateway",
    "deprovision": "Stint",
    "verify": "The scheduled verification",
    "audit_verify": "A manual verification",
    "provision": "Stint",
    "reconcile": "Reconciliation",
    "deviations": "The refusal limit",
    "setup": "Stint",
    "webhooks": "Webhook delivery",
    "escalation": "Escalation",
    "workflows": "The workflow source",
    "hooks": "The webhook receiver",
    "exchange": "Token exchange",
    "record": "The record",
    "recordings": "Stint",
    "provider": "The identity provider",
}


def sentence(entry: AuditEntry) -> str:
    """Return an entry as a sentence: who did what to which object. Facts missing from the entry are left
    out.
    """
    data = entry.data
    act = _ACTS.get(entry.event)
    if act is None:
        return f"{_actor(entry)}: {entry.event} on {entry.object_ref}."
    text = act(entry.object_ref, data) if callable(act) else act.format(ref=entry.object_ref)
    archived = " (details archived)" if entry.archived else ""
    return f"{_actor(entry)} {_short(text)}{archived}."


def _actor(entry: AuditEntry) -> str:
    if not entry.actor.startswith(SYSTEM_PREFIX):
        return entry.actor
    part = entry.actor.removeprefix(SYSTEM_PREFIX)
    return _PARTS.get(part, f"Stint ({part})")


def _short(text: str) -> str:
    text = " ".join(text.split()).removesuffix(".")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

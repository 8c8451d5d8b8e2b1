"""Phrases for sentences about record entries. Facts missing from an entry are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Data = dict[str, Any]
# The text after the actor: either a template with `{ref}`, or a function of the reference and the entry's
# facts.
Act = str | Callable[[str, Data], str]

FACTORS = {"totp": "an authenticator app", "webauthn": "a passkey", "recovery_codes": "a recovery code"}
_DRIFT = {
    "missing": "a missing object",
    "changed": "an object changed by others",
    "orphan": "leftovers of an ended grant",
}


def line(data: Data) -> str:
    """Return the entry's command in quotes, or its number."""
    argv = data.get("argv")
    text = data.get("line") or (" ".join(map(str, argv)) if isinstance(argv, list) else "")
    return f"“{text}”" if text else f"command {data.get('run', '')}".strip()


def statement(data: Data) -> str:
    """Return the entry's statement in quotes."""
    return f"“{data['statement']}”" if data.get("statement") else "a statement"


def drift(data: Data) -> str:
    """Return a difference found on a target, and the grant that it concerns."""
    grant = f" ({data['grant']})" if data.get("grant") else ""
    return _DRIFT.get(str(data.get("drift")), "a difference") + grant


def on(data: Data) -> str:
    """Return the target: ` on web-1`."""
    return f" on {data['target']}" if data.get("target") else ""


def source(data: Data) -> str:
    """Return the source address: ` from 10.0.0.7`."""
    return f" from {data['from']}" if data.get("from") else ""


def for_workflow(data: Data) -> str:
    """Return the workflow: ` for INC-3`."""
    return f" for {data['workflow']}" if data.get("workflow") else ""


def why(data: Data, key: str = "reason") -> str:
    """Return the text under a key after a colon, as in `: planned maintenance`."""
    return f": {data[key]}" if data.get(key) else ""


def listed(values: object, otherwise: str) -> str:
    """Return values separated by commas, or ``otherwise`` if there are none."""
    return ", ".join(map(str, values)) if isinstance(values, list) and values else otherwise


def many(count: object, noun: str, nouns: str = "") -> str:
    """Return a count with its noun: `1 grant`, `2 grants`."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def times(data: Data) -> str:
    """Return the number of attempts, for an entry that covers all attempts within one minute."""
    if "count" not in data:
        return ""
    sources = f" from {data['sources']} addresses" if data.get("sources") else ""
    return f" {many(data['count'], 'time')} within a minute{sources}"


def factor(data: Data) -> str:
    """Return the factor and its name: `a passkey “laptop”`."""
    name = f" “{data['name']}”" if data.get("name") else ""
    return f"{FACTORS.get(str(data.get('factor')), 'a second factor')}{name}"


def signed_in_with(data: Data) -> str:
    """Return how someone signed in: ` through okta with a passkey`."""
    how = FACTORS.get(str(data.get("factor")))
    return (f" through {data['provider']}" if data.get("provider") else "") + (f" with {how}" if how else "")


def ending_grants(verb: str, noun: str) -> Act:
    """Return a phrase for an action on a catalog object that may end grants."""

    def act(ref: str, data: Data) -> str:
        ended = data.get("grants_ended")
        count = len(ended) if isinstance(ended, list) else ended
        more = f"; {many(count, 'grant')} ended" if count else ""
        return f"{verb} {noun} {ref}{more}"

    return act

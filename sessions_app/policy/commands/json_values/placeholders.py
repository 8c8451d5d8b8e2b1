"""Placeholders in the values of a document."""

from __future__ import annotations

import re

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")


def placeholder_in(text: object) -> str | None:
    """Return the parameter if a query or body value is only `{name}`; None otherwise."""
    found = PLACEHOLDER.fullmatch(text) if isinstance(text, str) else None
    return found[1] if found else None

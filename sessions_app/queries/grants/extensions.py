"""The extensions of a grant that its policy allows."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from sessions_app.models import Grant, GrantState
from sessions_app.queries.requests.facts import approved_document, readable_document

HALF_AN_HOUR = 1800


class Extension(NamedTuple):
    """A possible extension: the number of seconds by which a grant can be extended, and whether this needs
    approval.
    """

    seconds: int
    approval: bool


def extensions(grant: Grant, now: dt.datetime) -> list[Extension]:
    """Return the extensions that the policy allows now: half an hour and the maximum, or none."""
    document = approved_document(grant) if readable_document(grant.policy) else None
    running = grant.state == GrantState.ACTIVE and grant.expires_at > now
    if document is None or document.extension is None or grant.review_due_at or not running:
        return []
    approval = bool(document.extension_clauses)
    return [
        Extension(seconds, approval)
        for seconds in sorted({min(HALF_AN_HOUR, document.extension.by), document.extension.by})
    ]


def longest_extension(grant: Grant, now: dt.datetime) -> Extension | None:
    """Return the longest extension that can be requested now; None if the grant can't be extended."""
    return max(extensions(grant, now), default=None)

"""By how much a holder may extend a grant."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from sessions_app.models import Grant, GrantState
from sessions_app.queries.facts import readable_document

HALF_AN_HOUR = 1800


class Extension(NamedTuple):
    """By how many seconds a grant may be extended, and whether somebody has to approve it."""

    seconds: int
    approval: bool


def extensions(grant: Grant, now: dt.datetime) -> list[Extension]:
    """Return what the policy says about extending a grant now: half an hour and the most at a time, or nothing."""
    document = readable_document(grant.policy)
    running = grant.state == GrantState.ACTIVE and grant.expires_at > now
    if document is None or document.extension is None or grant.review_due_at or not running:
        return []
    approval = bool(document.clauses) and document.extension.approvals == "same"
    return [
        Extension(seconds, approval)
        for seconds in sorted({min(HALF_AN_HOUR, document.extension.by), document.extension.by})
    ]


def longest_extension(grant: Grant, now: dt.datetime) -> Extension | None:
    """Return the longest extension at a time; None when the grant can't be extended."""
    return max(extensions(grant, now), default=None)

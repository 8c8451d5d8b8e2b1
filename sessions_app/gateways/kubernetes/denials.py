"""Refusals as kubectl shows them: the reason, the nearest allowed command, and where to request more
access.
"""

from __future__ import annotations

import hashlib

from broker.kernel import recent
from sessions_app.gateways.core.offered import NOT_TO_BE_ASKED, form_url
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.try_command import explain
from sessions_app.policy.commands.answers import Refused
from sessions_app.queries.requests.offers import Question

# Seconds for which the answer to a named question is cached, and how many of a holder's questions are looked
# up in that time: each is decided under every command set that the holder may request.
_KEPT_S, _MOST = 60, 20


def refusal_of(*, use: AnyUse, refused: Refused, question: Question | None, named: str = "") -> str:
    """Return why a grant does not allow a request, the nearest allowed request, and where to request more.

    See `request_url` for when there is a link.
    """
    asks = question is not None and refused.code not in NOT_TO_BE_ASKED
    url = request_url(use.holder_id, use.cluster, question, named=named) if asks else ""
    text = explain(refused)
    return f"{text} Request it: {url}" if url else text


def request_url(holder_id: int, cluster: str, question: Question | None, *, named: str = "") -> str:
    """Return the URL of the page for requesting access on a cluster that would allow ``question``; empty if
    there is none.

    A named question is looked up at most once a minute, and never for a holder who already has too many.
    """
    if not named:
        return form_url(holder_id, cluster, question)
    key = ("denials", holder_id, cluster, hashlib.sha256(named.encode()).digest())
    url: str | None = recent.kept(key)
    if url is None:
        if recent.count(("denials", holder_id), _KEPT_S)[0] > _MOST:
            return ""
        url = form_url(holder_id, cluster, question)
        recent.keep(key, url, _KEPT_S)
    return url

"""Why something is not allowed, in the words that kubectl prints: with the nearest that is, and where to request more."""

from __future__ import annotations

import hashlib
from urllib.parse import urlencode

from django.conf import settings

from accounts.models import Identity
from broker.kernel import recent
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.try_command import TOO_MANY_WAITING, explain
from sessions_app.policy.commands.answers import Refused
from sessions_app.queries.requests.offers import Question, offers

# Another grant would not change a refusal with these codes.
_NOT_TO_BE_ASKED = frozenset(("syntax", "denied", "empty", TOO_MANY_WAITING))


# Seconds for which an answer about a named question is kept, and how many are looked for meanwhile for one holder: each
# decides by all sets that they may request.
_KEPT_S, _MOST = 60, 20


def refusal_of(*, use: AnyUse, refused: Refused, question: Question | None, named: str = "") -> str:
    """Return why a grant does not allow something, with the nearest that it does, and where to request more, as
    `request_url` says.
    """
    asks = question is not None and refused.code not in _NOT_TO_BE_ASKED
    url = request_url(use.holder_id, use.cluster, question, named=named) if asks else ""
    text = explain(refused)
    return f"{text} Request it: {url}" if url else text


def request_url(holder_id: int, cluster: str, question: Question | None, *, named: str = "") -> str:
    """Return where someone can request on a cluster what ``question`` allows; empty if nothing they may request does.

    What a text names is looked for once a minute, and empty for a holder for whom too much is looked for.
    """
    if not named:
        return _found(holder_id, cluster, question)
    key = ("denials", holder_id, cluster, hashlib.sha256(named.encode()).digest())
    url: str | None = recent.kept(key)
    if url is None:
        if recent.count(("denials", holder_id), _KEPT_S)[0] > _MOST:
            return ""
        url = _found(holder_id, cluster, question)
        recent.keep(key, url, _KEPT_S)
    return url


def _found(holder_id: int, cluster: str, question: Question | None) -> str:
    holder = Identity.objects.filter(pk=holder_id, is_active=True).first()
    found = offers(identity=holder, cluster=cluster, question=question) if holder is not None else []
    if not found:
        return ""
    form = {"cluster": found[0].cluster, "command_set": found[0].command_set, "policy": found[0].policy}
    return f"{settings.PUBLIC_URL}/requests/new/?{urlencode(form)}"

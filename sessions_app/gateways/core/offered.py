"""Find the page for requesting access that would allow a refused action."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings

from accounts.models import Identity
from sessions_app.operations.sessions.try_command import TOO_MANY_WAITING
from sessions_app.queries.requests.offers import Question, offers

# Refusals with one of these codes would occur under any grant.
NOT_TO_BE_ASKED = frozenset(("syntax", "denied", "empty", TOO_MANY_WAITING))


def form_url(holder_id: int, cluster: str, question: Question | None) -> str:
    """Return the URL of the page for requesting access on a cluster that would allow ``question``; empty if
    there is none.
    """
    holder = Identity.objects.filter(pk=holder_id, is_active=True).first()
    found = offers(identity=holder, cluster=cluster, question=question) if holder is not None else []
    if not found:
        return ""
    form = {"cluster": found[0].cluster, "command_set": found[0].command_set, "policy": found[0].policy}
    return f"{settings.PUBLIC_URL}/requests/new/?{urlencode(form)}"

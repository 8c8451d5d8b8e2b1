"""Denials for refused requests, at the current time."""

from __future__ import annotations

from accounts.models import Identity
from broker.kernel import clock
from sessions_app.gateways.http.denials import Denial, deny
from sessions_app.operations.sessions.proofs.gateway import GatewayUse
from sessions_app.operations.sessions.try_command import TOO_MANY_WAITING
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.http.contents import Content

# Requests refused with one of these codes would be refused under any grant.
_NOT_TO_BE_ASKED = frozenset(("syntax", "denied", "body", TOO_MANY_WAITING))


def denial_of(*, use: GatewayUse, method: str, target: str, body: Content, refused: Refused) -> Denial:
    """Return the denial of a request that the grant does not allow, with an access request
    that its holder could submit.
    """
    asks = refused.code not in _NOT_TO_BE_ASKED
    holder = Identity.objects.filter(pk=use.holder_id).first() if asks else None
    return deny(
        reason=refused.reason,
        nearest=refused.nearest,
        code=refused.code,
        holder=holder,
        cluster=use.cluster,
        target=use.target.name,
        method=method,
        uri=target,
        body=body,
        now=clock.now(),
    )

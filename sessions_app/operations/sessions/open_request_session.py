"""Open a session when a token is first used for a request to a target."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import GatewayNode, Session, Target
from sessions_app.operations.grants.write_lease import write_lease
from sessions_app.operations.sessions.authorize_use import holder_of
from sessions_app.operations.sessions.open_session import lock_live
from sessions_app.operations.sessions.proofs.proxy import RequestUse
from sessions_app.queries.requests.facts import login_of, target_facts

# Requests hold no connection, so nothing has to be cut if the process that answers them dies.
NODE = "http"


def open_request_session(*, use: RequestUse, client_address: str, now: dt.datetime) -> int:
    """Record that a token is used, and that its target must be checked at the end of the grant. Return the
    session's id.

    Each pair of token and target has one session: a second call returns the same id. The session counts as
    closed, because each request is authorized separately. Raises GrantIsOver.
    """
    with transaction.atomic():
        lock_live(use, now)
        opened = Session.objects.filter(credential=use.credential_id, target=use.target.id).first()
        if opened is not None:
            return opened.pk
        session = Session.objects.create(
            grant_id=use.grant_id,
            target_id=use.target.id,
            credential_id=use.credential_id,
            gateway=_node(now),
            client_address=client_address[:64],
            proof=f"token {use.credential_id}",
            opened_at=now,
            closed_at=now,
            close_reason="no connection is held",
        )
        target = Target.objects.select_related("cluster").get(pk=use.target.id)
        write_lease(
            grant_id=use.grant_id,
            grant_ref=use.grant_ref,
            target=target_facts(target),
            host_ca=target.cluster.host_ca,
            login=login_of(target.cluster),
            actor=holder_of(use),
            now=now,
        )
        record(
            event=Event.SESSION_OPENED,
            actor=holder_of(use),
            object_type="grant",
            object_ref=use.grant_ref,
            now=now,
            data={
                "session": session.pk,
                "target": use.target.name,
                "from": client_address[:64],
                "proof": session.proof,
            },
        )
    return session.pk


def _node(now: dt.datetime) -> GatewayNode:
    node, _ = GatewayNode.objects.get_or_create(
        name=NODE, defaults={"started_at": now, "seen_at": now, "stopped_at": now}
    )
    return node

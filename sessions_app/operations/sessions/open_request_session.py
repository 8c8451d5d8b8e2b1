"""The first request with a token: the use of its grant begins."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import GatewayNode, Grant, GrantCredential, GrantState, Session, Target
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.write_lease import write_lease
from sessions_app.operations.sessions.authorize_use import holder_of
from sessions_app.operations.sessions.proofs.proxy import RequestUse
from sessions_app.queries.facts import login_of, target_facts

# Requests hold no connection, so that nothing has to be dropped when a process that answers them is gone.
NODE = "http"


def open_request_session(*, use: RequestUse, client_address: str, now: dt.datetime) -> int:
    """Register that a token is used, and that its target is to be asked at the end; return the session's id.

    One for each token: a second call returns the first one's. It counts as closed, because each request is decided anew.
    Raises GrantIsOver.
    """
    with transaction.atomic():
        live = Grant.objects.select_for_update(no_key=True, of=("self",)).filter(
            pk=use.grant_id, state=GrantState.ACTIVE, expires_at__gt=now
        )
        if not live.exists():
            raise GrantIsOver(f"{use.grant_ref} has ended.", hint="Request new access.")
        credential = GrantCredential.objects.select_for_update().get(pk=use.credential_id)
        if credential.session_id is not None:
            return credential.session_id
        session = Session.objects.create(
            grant_id=use.grant_id, target_id=use.target.id, gateway=_node(now), client_address=client_address[:64],
            proof=f"token {credential.pk}", opened_at=now, closed_at=now, close_reason="no connection is held",
        )  # fmt: skip
        GrantCredential.objects.filter(pk=credential.pk).update(session=session)
        target = Target.objects.select_related("cluster").get(pk=use.target.id)
        write_lease(
            grant_id=use.grant_id, grant_ref=use.grant_ref, target=target_facts(target), host_ca=target.cluster.host_ca,
            login=login_of(target.cluster), actor=holder_of(use), now=now,
        )  # fmt: skip
        record(
            event=Event.SESSION_OPENED, actor=holder_of(use), object_type="grant", object_ref=use.grant_ref, now=now,
            data={"session": session.pk, "target": use.target.name, "from": client_address[:64], "proof": session.proof},
        )  # fmt: skip
    return session.pk


def _node(now: dt.datetime) -> GatewayNode:
    node, _ = GatewayNode.objects.get_or_create(
        name=NODE, defaults={"started_at": now, "seen_at": now, "stopped_at": now}
    )
    return node

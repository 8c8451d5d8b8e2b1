"""The first command of a session."""

from __future__ import annotations

from types import SimpleNamespace

from django.db import transaction

from sessions_app.gateways.core.first import _try
from sessions_app.models import EndReason, Grant
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from tests.support.world.acts import Started, change, policy, use, wait_for_waiters


def test_one_that_is_refused_does_not_wait_for_an_end_above_that_waits_for_it(live_world, owner_connection):
    change(live_world, policy(live_world, delegation={"depth": 1, "to": {"identities": ["deployer"]}}))
    grant, now = live_world.grant(), live_world.now
    part = Part(identity="deployer", command_set="restart-web", parameters={})
    made = delegate_grant(grant_id=grant.pk, actor=live_world.alice, part=part, now=now)
    used = use(provision_grant(grant_id=made.pk, now=now), now=now)
    session = SimpleNamespace(id=None, use=used, client_address="192.0.2.1", proof="SHA256:key")
    node = renew_gateway(name="gateway-1", version="1", now=now)
    with transaction.atomic():
        Grant.objects.select_for_update().get(pk=grant.pk)
        worker = Started(
            lambda: _try(session=session, gateway_id=node, line="id", order_id=None, decision=None, now=now)
        )
        wait_for_waiters(owner_connection, 1)
        end_grant(grant_id=grant.pk, actor=live_world.bob, reason=EndReason.REVOKED, now=now)
    assert isinstance(worker.result(), GrantIsOver)

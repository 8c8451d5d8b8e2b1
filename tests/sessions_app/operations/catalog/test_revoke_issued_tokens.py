"""Revoking the tokens that a trust policy issued."""

import datetime as dt

from django.db import transaction

from accounts.models import APIToken
from accounts.queries import valid_token
from broker.audit.models import AuditEntry
from broker.kernel.crypto import new_token, token_digest
from sessions_app.models import TrustPolicy
from sessions_app.operations.catalog.revoke_issued_tokens import revoke_issued_tokens
from tests.support.servers.issuer import trust_file
from tests.support.world.acts import Started, after, change, wait_for_waiters
from tests.support.world.world import SETUP

RUN = "github:9001:77001:1"


def policy(world) -> TrustPolicy:
    change(world, trust_file())
    return TrustPolicy.objects.get()


def given(world, *, to=None, label="payments-deploy 550077", workflow=RUN, **more) -> str:
    """The text of a token as a job has one."""
    text = new_token("stint")
    APIToken.objects.create(
        identity=to or world.deployer,
        digest=token_digest(text),
        label=label,
        workflow=workflow,
        expires_at=after(world, minutes=10),
        **more,
    )
    return text


def is_good(text: str, now: dt.datetime) -> bool:
    return valid_token(text, now) is not None


def test_every_token_that_it_issued_is_revoked_at_once(world):
    made, texts = policy(world), [given(world), given(world)]
    assert all(is_good(text, world.now) for text in texts)
    assert revoke_issued_tokens(policy=made, actor=SETUP, now=world.now) == 2
    assert not any(is_good(text, world.now) for text in texts)
    assert set(APIToken.objects.values_list("revoked_at", flat=True)) == {world.now}
    entries = AuditEntry.objects.filter(event="identity.token_revoked", object_ref="deployer").order_by("seq")
    assert [entry.data["token_id"] for entry in entries] == list(
        APIToken.objects.order_by("pk").values_list("pk", flat=True)
    )
    assert {entry.data["trust_policy"] for entry in entries} == {"payments-deploy"}


def test_what_others_gave_and_what_is_the_machines_own_stays_good(world):
    made = policy(world)
    others = [
        given(world, label="payments-deploy-2 550077"),
        given(world, to=world.robot),
        given(world, workflow=""),
    ]
    assert revoke_issued_tokens(policy=made, actor=SETUP, now=world.now) == 0
    assert all(is_good(text, world.now) for text in others)


def test_it_waits_for_an_exchange_under_way_and_takes_back_what_that_gave(live_world, owner_connection):
    world = live_world
    made = policy(world)
    with transaction.atomic():
        # As an exchange does until its token is written.
        TrustPolicy.objects.select_for_update(no_key=True).get(pk=made.pk)
        taking = Started(lambda: _taken(made, world.now))
        wait_for_waiters(owner_connection, 1)
        text = given(world)
    assert taking.result() == 1
    assert not is_good(text, world.now)


def _taken(made: TrustPolicy, now: dt.datetime) -> int:
    with transaction.atomic():
        return revoke_issued_tokens(policy=made, actor=SETUP, now=now)

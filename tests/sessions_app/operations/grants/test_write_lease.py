"""Where something of a grant may be is written down once, and stays where it was."""

import dataclasses

import pytest

from broker.audit.actor import Actor
from sessions_app.models import EndReason, GrantState, Lease, Session
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.write_lease import write_lease
from sessions_app.operations.sessions.open_request_session import open_request_session
from sessions_app.queries.requests.facts import login_of, target_facts
from tests.support.world.acts import events, last
from tests.support.world.api_site import add_site, grant_on_site, token_of, use_of

ELSEWHERE = {"address": "10.9.9.9"}


@pytest.fixture
def write(world):
    grant = world.grant()
    target = grant.targets.select_related("cluster").get(name="web-1")

    def written(**changes):
        write_lease(
            grant_id=grant.pk,
            grant_ref=grant.ref,
            target=dataclasses.replace(target_facts(target), **changes),
            host_ca=target.cluster.host_ca,
            login=login_of(target.cluster),
            actor=Actor.system("test"),
            now=world.now,
        )
        return Lease.objects.get(grant=grant)

    return written


def test_it_keeps_where_the_target_is_and_tells_of_it_once(write):
    lease = write()
    assert target_facts(lease.target).address == lease.address
    assert (lease.connection, lease.host_ca) == (
        lease.target.cluster.connection,
        lease.target.cluster.host_ca,
    )
    assert write().pk == lease.pk
    assert events(lease.grant.ref).count("lease.made") == 1
    assert last("lease.made", lease.grant.ref).data == {"target": "web-1"}


def test_one_that_was_proven_gone_counts_again(write, now):
    write()
    Lease.objects.update(gone_at=now)
    assert write().gone_at is None


@pytest.mark.parametrize(
    "change", [ELSEWHERE, {"port": 2}, {"account": "other"}, {"host_key": "ssh-ed25519 AAAA"}], ids=str
)
def test_a_target_that_moved_is_refused_and_the_old_place_kept(write, change):
    before = write()
    with pytest.raises(GrantIsOver, match="web-1 has a new address"):
        write(**change)
    assert Lease.objects.values().get() == Lease.objects.filter(pk=before.pk).values().get()


def test_a_request_to_a_target_that_moved_opens_nothing(world):
    add_site(world)
    grant = grant_on_site(world)
    open_request_session(use=use_of(token_of(grant, world)), client_address="", now=world.now)
    Lease.objects.update(**ELSEWHERE)
    with pytest.raises(GrantIsOver):
        open_request_session(use=use_of(token_of(grant, world)), client_address="", now=world.now)
    assert Session.objects.filter(grant=grant).count() == 1


def test_a_grant_whose_target_moved_does_not_begin(world, making):
    grant = world.grant()
    Lease.objects.update(**ELSEWHERE)
    over = provision_grant(grant_id=grant.pk, now=world.now)
    assert (over.state, over.end_reason) == (GrantState.REVOKING, EndReason.POLICY_CHANGED)
    assert "has a new address" in over.end_note

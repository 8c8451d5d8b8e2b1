"""The use of a grant begins with the first request."""

import pytest

from sessions_app.models import EndReason, GatewayNode, Lease, Session
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.open_request_session import open_request_session
from sessions_app.operations.sessions.stop_gateway import stop_lost_gateways
from tests.support.servers.nginx import nginx
from tests.support.world.acts import events, last
from tests.support.world.api_site import add_second_target, add_site, grant_on_site, token_of, use_of


@pytest.fixture
def site(world):
    add_site(world)
    return world


def test_one_for_each_token_with_the_target_that_is_to_be_asked(site):
    grant = grant_on_site(site)
    use = use_of(token_of(grant, site))
    first = open_request_session(use=use, client_address="10.0.0.1", now=site.now)
    assert open_request_session(use=use, client_address="10.0.0.2", now=site.now) == first
    assert Session.objects.get(grant=grant).client_address == "10.0.0.1"
    lease = Lease.objects.get(grant=grant)
    assert (lease.address, lease.port, lease.gone_at) == ("127.0.0.1", 8080, None)
    assert {"lease.made", "session.opened"} <= set(events(grant.ref))
    assert last("session.opened", grant.ref).actor == "alice"
    again = use_of(token_of(grant, site))
    assert open_request_session(use=again, client_address="", now=site.now) != first
    assert Lease.objects.filter(grant=grant).count() == 1


def test_it_holds_nothing_open_and_its_process_is_never_lost(site):
    grant = grant_on_site(site)
    open_request_session(use=use_of(token_of(grant, site)), client_address="", now=site.now)
    assert not Session.objects.filter(closed_at__isnull=True).exists()
    stop_lost_gateways(now=site.now)
    assert GatewayNode.objects.get(name="http").stopped_at == site.now


def test_nothing_begins_in_a_grant_that_is_over(site):
    grant = grant_on_site(site)
    use = use_of(token_of(grant, site))
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=site.now)
    with pytest.raises(GrantIsOver):
        open_request_session(use=use, client_address="", now=site.now)
    assert not Lease.objects.filter(grant=grant).exists()


def test_a_token_used_at_two_targets_has_a_session_and_a_lease_at_each(site):
    add_second_target(site)
    grant = grant_on_site(site)
    token = token_of(grant, site)
    for name in ("tickets-api", "tickets-eu"):
        assert use_of(token, name).session_id is None
        opened = open_request_session(use=use_of(token, name), client_address="", now=site.now)
        assert use_of(token, name).session_id == opened
        assert Session.objects.get(pk=opened).target.name == name
    assert sorted(Lease.objects.filter(grant=grant).values_list("target__name", flat=True)) == [
        "tickets-api",
        "tickets-eu",
    ]


@pytest.mark.processes
def test_each_target_at_which_a_token_was_used_is_asked_at_the_end(site):
    with nginx("location / { return 401; }") as shut, nginx("location / { return 200; }") as open_:
        add_second_target(site, (shut.port, open_.port))
        grant = grant_on_site(site)
        token = token_of(grant, site)
        for name in ("tickets-api", "tickets-eu"):
            open_request_session(use=use_of(token, name), client_address="", now=site.now)
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=site.now)
        assert deprovision_grant(grant_id=grant.pk, now=lambda: site.now).state == "revoking"
    assert [lease.target.name for lease in Lease.objects.filter(grant=grant, gone_at=None)] == ["tickets-eu"]

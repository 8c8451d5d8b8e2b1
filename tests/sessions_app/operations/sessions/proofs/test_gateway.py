"""The answer to: may whoever has this token send a request through Stint's own gateway now?"""

import hashlib

import pytest

from sessions_app.models import EndReason
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.proofs.gateway import AtGateway
from tests.support.servers.endpoints import policies
from tests.support.servers.http_place import COMMAND_SET, HEADER, cluster
from tests.support.servers.http_target import SECRET, Target
from tests.support.world.api_site import add_site, grant_on_site
from tests.support.world.mcp_site import token_of


@pytest.fixture
def site(world):
    world.catalog.update(
        {
            "clusters/prices.yaml": cluster(Target(port=8080), inject=HEADER),
            "command-sets/price-work.yaml": COMMAND_SET,
            **policies("prices", "price-work"),
        }
    )
    world.apply()
    return world


@pytest.fixture
def grant(site):
    return site.grant(
        cluster="prices", command_set="price-work", policy="prices-work", parameters={"sku": "S-42"}
    )


def ask(token, name="prices"):
    return only(authorize_use(by=AtGateway(hashlib.sha256(token.encode()).hexdigest(), name)))


@pytest.mark.parametrize("name", ["prices", "prices-1"])
def test_a_token_is_used_by_the_name_of_its_cluster_or_target_with_the_targets_credential(site, grant, name):
    use = ask(token_of(grant, site), name)
    assert (use.grant_ref, use.cluster, use.target.name, use.jkt) == (grant.ref, "prices", "prices-1", "")
    assert use.place.parameters.inject.value.get_secret_value() == f"Bearer {SECRET}"
    assert SECRET not in repr(use)
    assert use.login["connection"]["proxy"] == "stint"
    assert SECRET not in str(use.login)


def test_another_token_or_name_opens_nothing(site, grant):
    token = token_of(grant, site)
    assert ask(token + "x") is None
    for odd in ("web", "Prices", "", "%", "prices' OR '1'='1", "é"):
        assert ask(token, odd) is None


def test_a_cluster_behind_another_proxy_is_not_reached(site):
    add_site(site)
    assert ask(token_of(grant_on_site(site), site), "tickets-api") is None


def test_the_end_of_the_grant_is_the_end(site, grant):
    token = token_of(grant, site)
    assert ask(token)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=site.now)
    assert ask(token) is None

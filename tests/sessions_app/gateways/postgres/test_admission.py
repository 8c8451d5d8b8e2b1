"""A holder of a grant of statements gets a token for the gateway, and no password for the server."""

import json

import pytest
from django.test import Client

from broker.kernel.crypto import token_digest
from broker.kernel.errors import InvalidInput
from sessions_app.connectors.fake import FakeConnector
from sessions_app.gateways.postgres.admission import NotAdmitted, admit, login_of
from sessions_app.models import Grant
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.issue_http_token import issue_http_token
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.grants.revoke_http_token import revoke_http_token
from tests.support.servers.kubernetes_place import accepted
from tests.support.world.acts import last, revoke
from tests.support.world.catalog import FILES
from tests.support.world.factors import just_signed_in
from tests.support.world.fakes import serving
from tests.support.world.ground import lose

ORDERS = ("clusters/orders.yaml", "command-sets/read-orders.yaml", "policies/order-support.yaml")
SET = """
name: fix-orders
kind: postgres
summary: Fix orders
risk: high
commands:
  - sql: UPDATE app.orders SET status = {status} WHERE id = {id}
    where: {id: {int: [1, 9]}, status: {choice: [open, paid]}}
    effect: change
"""


def apply_orders(world, command_set: str = SET) -> None:
    """Add a command set of statements on a cluster with two servers."""
    policy = {
        "name": "fix-work",
        "summary": "Fix",
        "clusters": ["orders"],
        "command_sets": ["fix-orders"],
        "requesters": {"groups": ["operators"]},
        "approvals": [{"count": 1, "from": ["approvers"]}],
        "max_duration": "4h",
    }
    own = {
        "command-sets/fix-orders.yaml": accepted(command_set),
        "policies/fix-work.yaml": json.dumps(policy),
    }
    world.apply({**{path: FILES[path] for path in ORDERS}, **own})


@pytest.fixture
def orders(world):
    """The world with a command set of statements on a cluster with two servers."""
    apply_orders(world)
    fake = FakeConnector(kind="postgres")
    with serving(lambda: fake, kind="postgres"):
        yield world


def started(world, **asked) -> Grant:
    said = {"cluster": "orders", "command_set": "fix-orders", "parameters": {}, "policy": "fix-work"}
    grant = world.grant(**{**said, "targets": ("db-1",), **asked})
    return prepare_grant(grant_id=grant.pk, now=lambda: world.now)


@pytest.fixture
def grant(orders):
    return started(orders)


def credential(world, grant, target=None):
    return issue_credential(grant_id=grant.pk, actor=world.alice, target=target, now=world.now)


def test_the_credential_is_a_login_at_the_gateway(orders, grant, settings):
    settings.GATEWAY_PUBLIC_URL, settings.POSTGRES_GATEWAY_PORT = "https://gw.example.com:8443", 5433
    made = credential(orders, grant)
    token = made.fields["Password"]
    assert made.secret == {"Password", "URI"}
    assert (made.fields["Username"], made.fields["Host"], made.fields["Port"]) == (
        grant.ref,
        "gw.example.com",
        "5433",
    )
    assert made.fields["Authority (save as stint-ca.pem)"].startswith("-----BEGIN CERTIFICATE")
    assert made.command == (
        f'psql "host=gw.example.com port=5433 user={grant.ref} dbname=shop sslmode=verify-full'
        ' sslrootcert=stint-ca.pem"'
    )
    assert token not in made.command
    assert token not in json.dumps(last("credential.issued", grant.ref).data)
    # Every program of the holder gets the same one.
    assert credential(orders, grant).fields["Password"] == token


def test_the_page_of_the_grant_shows_the_line_for_psql(orders, grant):
    alice = just_signed_in(Client(), orders.alice)
    page = alice.post(f"/grants/{grant.ref}/credential/", {"target": "db-1"}).content.decode()
    assert f"user={grant.ref} dbname=shop sslmode=verify-full" in page


def test_of_several_targets_the_user_name_has_one(orders):
    grant = started(orders, targets=("db-1", "db-2"))
    with pytest.raises(InvalidInput, match="several targets"):
        credential(orders, grant)
    made = credential(orders, grant, "db-2")
    assert made.fields["Username"] == f"{grant.ref}.db-2"
    login = login_of(user=grant.ref)
    with pytest.raises(NotAdmitted, match="several targets") as refused:
        admit(login=login, client="192.0.2.1")
    assert f"{grant.ref}.db-1 or {grant.ref}.db-2" in refused.value.hint
    assert admit(login=login_of(user=f"{grant.ref}.db-2"), client="192.0.2.1").target.name == "db-2"


def test_a_grant_of_privileges_has_no_token(orders):
    grant = started(orders, command_set="read-orders", policy="order-support")
    with pytest.raises(InvalidInput):
        issue_http_token(grant_id=grant.pk, actor=orders.alice, now=orders.now)
    assert login_of(user=grant.ref).digest == ""


def test_a_login_knows_the_token_of_its_grant_and_has_none_for_other_names(orders, grant):
    assert login_of(user=grant.ref).digest == ""
    made = credential(orders, grant)
    assert login_of(user=grant.ref.lower()).digest == token_digest(made.fields["Password"])
    for user in ("postgres", "", "GR-ZZZZ", f"{grant.ref}.", "\0"):
        found = login_of(user=user)
        assert found.digest == ""
        assert found.verifier == login_of(user=user).verifier
    revoke_http_token(text=made.fields["Password"], now=orders.now)
    assert login_of(user=grant.ref).digest == ""
    assert credential(orders, grant).fields["Password"] != made.fields["Password"]


def test_a_holder_whose_grant_has_ended_is_told_so_and_it_is_recorded(orders, grant):
    credential(orders, grant)
    login = login_of(user=grant.ref)
    use = admit(login=login, client="192.0.2.1")
    assert (use.grant_ref, use.client, use.place.parameters.database) == (grant.ref, "192.0.2.1", "shop")
    assert "not-a-secret-of-anything" not in repr(use)
    lose(grant, "grant held")
    with pytest.raises(NotAdmitted, match="suspended"):
        admit(login=login, client="192.0.2.1")
    revoke(grant)
    with pytest.raises(NotAdmitted, match="the grant is (revoking|ended)"):
        admit(login=login, client="192.0.2.1")
    assert last("command.refused", grant.ref).data["line"] == "login"

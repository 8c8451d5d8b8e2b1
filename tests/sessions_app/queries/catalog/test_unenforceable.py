"""What the proxy of a cluster can't enforce is refused before anyone can request it, whichever
changes last.
"""

import pytest

from broker.kernel.errors import InvalidInput, StintError
from sessions_app.models import Cluster
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.queries.catalog.unenforceable import unenforced_on
from tests.support.world.world import SETUP

NGINX = f"{{proxy: nginx, proxy_key: {'k' * 40}}}"
HELD = "{request: POST /pay, body: {}, hold: true, effect: change}"
FREE = "{request: GET /pay, effect: read}"
TENANT = "{request: GET /pay, headers: {x-tenant: acme}, effect: read}"
INJECTS = "{proxy: stint, inject: {header: X-Tenant, value: acme}}"


def cluster(connection: str) -> str:
    return (
        "name: pay\nkind: http\nenvironment: staging\nrisk: low\napprovers: {groups: [approvers]}\n"
        f"connection: {connection}\ntargets: [{{name: pay, address: pay.example.com}}]\n"
    )


def command_set(rule: str) -> str:
    return (
        f"name: pay\nkind: http\nsummary: Pay\nrisk: low\ncommands: [{rule}]\naccept: {{no_examples examples:"
        " For a test}\n"
    )


def files(world, connection: str, rule: str) -> dict[str, str]:
    policy = world.catalog["policies/web-work.yaml"]
    named = policy.replace("[web]", "[web, pay]").replace("[restart-web]", "[restart-web, pay]")
    return {
        **world.catalog,
        "clusters/pay.yaml": cluster(connection),
        "command-sets/pay.yaml": command_set(rule),
        "policies/web-work.yaml": named,
    }


def apply(world, connection: str, rule: str):
    return apply_catalog(files=files(world, connection, rule), actor=SETUP, now=world.now)


@pytest.mark.parametrize(
    ("connection", "rule", "says"),
    [(NGINX, HELD, "has hold in `POST /pay`"), (INJECTS, TENANT, "where the cluster injects its credential")],
)
def test_a_policy_that_joins_them_is_refused_with_the_rule_and_the_fix(world, connection, rule, says):
    with pytest.raises(InvalidInput) as caught:
        apply(world, connection, rule)
    assert says in str(caught.value.fields)
    assert "policies/web-work: command_sets" in caught.value.fields


@pytest.mark.parametrize(("connection", "rule"), [(NGINX, FREE), ("{proxy: stint}", HELD)])
def test_what_can_be_enforced_is_applied(world, connection, rule):
    apply(world, connection, rule)
    assert unenforced_on(Cluster.objects.get(name="pay")) == []


def test_a_version_is_not_published_where_its_proxy_can_not_enforce_it(world):
    apply(world, NGINX, FREE)
    with pytest.raises(StintError) as caught:
        save_document(
            kind="command-sets", source=command_set(HELD), actor=world.admin, now=world.now, name="pay"
        )
    assert "set proxy: stint" in str(caught.value.fields)


def test_a_cluster_does_not_move_behind_a_proxy_that_can_not_enforce_what_is_used_there(world):
    apply(world, "{proxy: stint}", HELD)
    with pytest.raises(InvalidInput) as caught:
        save_document(kind="clusters", source=cluster(NGINX), actor=world.admin, now=world.now, name="pay")
    assert "pay can't be used on pay: it has hold in `POST /pay`" in str(caught.value.fields)


KUBERNETES = (
    "name: pay\nkind: kubernetes\nenvironment: staging\nrisk: low\napprovers: {groups:"
    " [approvers]}\nconnection: {ca: '-----BEGIN CERTIFICATE-----', token: x}\ntargets: [{name: pay, address:"
    " pay.example.com, port: 6443}]\n"
)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "scale deployment/web -n shop --replicas 3",
            ["pay can't be used on pay: it limits replicas in `scale deployment/web -n shop --replicas 3`"],
        ),
        ("get pods -n shop", []),
    ],
)
def test_a_cluster_that_is_reached_directly_takes_no_limits_of_single_requests(world, line, says):
    text = (
        f"name: pay\nkind: kubernetes\nsummary: Pay\nrisk: low\ncommands: [{{run: {line}, effect:"
        " change}]\naccept: {no_examples examples: For a test}\n"
    )
    found = {**files(world, NGINX, FREE), "clusters/pay.yaml": KUBERNETES, "command-sets/pay.yaml": text}
    apply_catalog(files=found, actor=SETUP, now=world.now)
    made = Cluster.objects.get(name="pay")
    assert unenforced_on(made) == []
    made.connection["direct"] = True
    assert [one.partition(", which")[0] for one in unenforced_on(made)] == says

"""The connection of an HTTP cluster behind Stint's own gateway: its credential is stored, kept and never
shown.
"""

import json

import pytest

from broker.kernel.errors import InvalidInput
from sessions_app.models import Cluster
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.catalog.catalog_rows import cluster_data
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.operations.targets.cluster_connection import (
    STORED,
    parameters_of,
    readable_secrets,
)
from tests.support.world.world import SETUP

KEY = "k" * 40
HEADER = "{proxy: stint, inject: {header: X-Api-Key, value: hunter2}}"


def pay(connection: str, name: str = "pay", address: str = "pay.example.com") -> str:
    return (
        f"name: {name}\nkind: http\nenvironment: production\nrisk: high\nconnection: {connection}\n"
        f"targets: [{{name: {name}, address: {address}}}]\n"
    )


def apply(world, *texts: str):
    files = {f"clusters/{at}.yaml": text for at, text in enumerate(texts)}
    return apply_catalog(files=files, actor=SETUP, now=world.now, on_server=True)


def save(world, text: str, name: str = "pay"):
    return save_document(kind="clusters", source=text, actor=world.admin, now=world.now, name=name)


def stored() -> dict[str, str]:
    return readable_secrets(Cluster.objects.get(name="pay"))


def parameters():
    cluster = Cluster.objects.get(name="pay")
    return parameters_of("http", cluster.connection, cluster.sealed_connection, cluster_id=cluster.pk)


def test_an_injected_credential_is_sealed_and_shown_nowhere(world):
    plan = apply(world, pay(HEADER))
    cluster = Cluster.objects.get(name="pay")
    assert cluster.connection == {"proxy": "stint", "inject": {"header": "X-Api-Key"}}
    assert cluster_data(cluster)["connection"]["inject"] == {"header": "X-Api-Key", "value": STORED}
    assert "hunter2" not in json.dumps([str(change) for change in plan.changes])
    assert parameters().inject.value.get_secret_value() == "hunter2"


@pytest.mark.parametrize("changed", ["header", "address"])
def test_a_stored_credential_is_not_sent_where_it_has_not_gone_before(world, changed):
    apply(world, pay(HEADER))
    header, address = ("X-Other", "pay.example.com") if changed == "header" else ("X-Api-Key", "192.0.2.66")
    with pytest.raises(InvalidInput) as caught:
        save(
            world,
            pay(f"{{proxy: stint, inject: {{header: {header}, value: {STORED}}}}}", address=address),
        )
    assert "enter it again" in str(caught.value.fields)


def test_another_way_to_inject_forgets_the_secret_of_the_last_one(world):
    apply(world, pay(HEADER))
    apply(world, pay("{proxy: stint, inject: {basic: {user: stint, password: hunter3}}}"))
    assert stored() == {"inject.basic.password": "hunter3"}
    apply(world, pay("{proxy: stint}"))
    assert stored() == {}


@pytest.mark.parametrize("said", ["", f", proxy_key: {STORED}"])
def test_a_cluster_moves_to_the_gateway_without_the_key_of_its_proxy(world, said):
    apply(world, pay(f"{{proxy: nginx, proxy_key: {KEY}}}"))
    save(world, pay(f"{{proxy: stint{said}}}"))
    assert (stored(), parameters().own) == ({}, True)


def test_a_public_host_leads_to_one_cluster_and_not_to_stint(world, settings):
    settings.PUBLIC_URL = "https://stint.example.com"
    settings.GATEWAY_PUBLIC_URL = "https://gateway.example.com:8443"
    settings.MCP_URL = "https://tools.example.com"
    host = "{proxy: stint, public_host: pay.example.com}"
    apply(world, pay(host), pay("{proxy: stint}", "other"))
    assert apply(world, pay(host)).changes == []
    for connection, says in (
        (host, "is already the public host of pay"),
        ("{proxy: stint, public_host: stint.example.com}", "address of Stint itself"),
        ("{proxy: stint, public_host: gateway.example.com}", "address of Stint itself"),
        ("{proxy: stint, public_host: tools.example.com}", "address of Stint itself"),
        ("{proxy: stint, public_host: 127.0.0.1}", "is an IP address"),
    ):
        with pytest.raises(InvalidInput) as caught:
            save(world, pay(connection, "other"), "other")
        assert says in str(caught.value.fields)

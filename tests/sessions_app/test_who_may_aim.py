"""What a stored secret or a trust of targets opens, and who may point it elsewhere: administrators of Stint,
at every entry point.
"""

import json
from typing import Any

import pytest
import yaml

from broker.audit.models import AuditEntry
from broker.kernel.errors import StintError
from sessions_app.connectors.base import secret_fields
from sessions_app.connectors.registry import type_of
from sessions_app.models import Cluster
from sessions_app.operations.catalog.catalog_rows import cluster_data
from sessions_app.operations.catalog.remove_document import remove_document
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.operations.catalog.save_draft import OnlyAdministratorsSetUp
from sessions_app.operations.targets.cluster_connection import STORED, readable_secrets
from tests.support.world.world import HOST_KEY

DORA = {"administrators": {"identities": ["dora"]}}
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHR3sv1Lwo0KTYFjZl1WyZ3Fu8vPoS4vQ8qO8wYQq8dX"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
# How a cluster of each kind is logged in to, and something of each plain parameter that it could be sent
# elsewhere by.
LOGINS: dict[str, dict[str, Any]] = {
    "postgres": {"password": "hunter22", "sslmode": "require"},
    "kubernetes": {"token": "hunter22", "ca": PEM},
    "http": {"proxy": "nginx", "proxy_key": "k" * 40},
    "mcp": {"token": "hunter22"},
}
OTHERWISE: dict[str, dict[str, Any]] = {
    "postgres": {"user": "mallory", "database": "other", "sslmode": "disable", "reassign_to": "mallory"},
    "kubernetes": {
        "ca": PEM + PEM,
        "server_name": "mallory.example",
        "accounts": "default",
        "namespaces": ["prod"],
    },
    "http": {
        "proxy": "caddy",
        "host": "mallory.example",
        "base_path": "/other",
        "tls": False,
        "public_host": "mallory.example",
        "inject": {"header": "X-Mallory", "value": "hunter22"},
    },
    "mcp": {"path": "/other", "host": "mallory.example", "tls": False},
}


def save(world, document: dict[str, Any], who=None, kind="clusters"):
    return save_document(kind=kind, source=json.dumps(document), actor=who or world.admin, now=world.now)


def ssh_cluster(world) -> dict[str, Any]:
    return {**yaml.safe_load(world.catalog["clusters/web.yaml"]), **DORA}


def cluster_of(kind: str) -> dict[str, Any]:
    return {
        "name": "place",
        "kind": kind,
        "environment": "production",
        "risk": "high",
        "connection": LOGINS[kind],
        "targets": [{"name": "place", "address": "place.example"}],
        **DORA,
    }


def with_first_target(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    first, *rest = document["targets"]
    return {**document, "targets": [{**first, **changes}, *rest]}


AIMS = {
    "address": lambda document: with_first_target(document, address="prod.example"),
    "port": lambda document: with_first_target(document, port=2222),
    "account": lambda document: with_first_target(document, account="deploy"),
    "host_key": lambda document: with_first_target(document, host_key=OTHER_KEY),
    "host_ca": lambda document: {**document, "host_ca": OTHER_KEY},
    "new target": lambda document: {
        **document,
        "targets": [*document["targets"], {"name": "prod", "address": "prod.example", "host_key": HOST_KEY}],
    },
    "kind": lambda document: {**cluster_of("postgres"), "name": "web"},
}


@pytest.mark.parametrize("aim", AIMS)
def test_who_administers_a_cluster_points_no_target_of_it_elsewhere(world, aim):
    document = ssh_cluster(world)
    save(world, document)
    before = cluster_data(Cluster.objects.get(name="web"))
    with pytest.raises(OnlyAdministratorsSetUp, match=aim):
        save(world, AIMS[aim](document), world.dora)
    assert cluster_data(Cluster.objects.get(name="web")) == before
    assert save(world, AIMS[aim](document)).changes


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, all_ in OTHERWISE.items() for name in all_]
)
def test_who_administers_a_cluster_changes_nothing_of_how_stint_logs_in(world, kind, name):
    """Not even with a secret of their own: Stint's place in the network is a trust as well."""
    document = cluster_of(kind)
    save(world, document)
    changed = {**document, "connection": {**LOGINS[kind], name: OTHERWISE[kind][name]}}
    with pytest.raises(OnlyAdministratorsSetUp, match=f"connection.{name}"):
        save(world, changed, world.dora)
    with pytest.raises(OnlyAdministratorsSetUp, match="address of place"):
        save(world, with_first_target(document, address="10.0.0.66"), world.dora)


@pytest.mark.parametrize("kind", LOGINS)
def test_they_replace_its_secret_and_change_the_rest(world, kind):
    document = cluster_of(kind)
    save(world, document)
    (secret,) = secret_fields(type_of(kind).parameters) & LOGINS[kind].keys()
    fresh = {
        **document,
        "connection": {**LOGINS[kind], secret: "n" * 40},
        "summary": "Rotated",
        "risk": "low",
    }
    assert save(world, fresh, world.dora).changes
    assert readable_secrets(Cluster.objects.get(name="place")) == {secret: "n" * 40}
    kept = {**fresh, "connection": {**LOGINS[kind], secret: STORED}, "summary": "Kept"}
    assert save(world, kept, world.dora).changes


def test_what_they_propose_holds_no_secret(world):
    document = cluster_of("postgres")
    save(world, document)
    opened = {**document, "requesters": {"identities": ["dora"]}}
    with pytest.raises(OnlyAdministratorsSetUp, match="can't contain a secret"):
        save(world, opened, world.dora)
    assert save(
        world, {**opened, "connection": {**LOGINS["postgres"], "password": STORED}}, world.dora
    ).proposal


def test_they_replace_what_is_injected_but_not_where(world):
    inject = {"header": "X-Api-Key", "value": "hunter22"}
    document = {**cluster_of("http"), "connection": {"proxy": "stint", "inject": inject}}
    save(world, document)
    fresh = {"proxy": "stint", "inject": {**inject, "value": "hunter33"}}
    assert save(world, {**document, "connection": fresh}, world.dora).changes
    stored = readable_secrets(Cluster.objects.get(name="place"))
    assert stored == {"inject.value": "hunter33"}
    elsewhere = {"proxy": "stint", "inject": {**inject, "header": "X-Mallory"}}
    with pytest.raises(OnlyAdministratorsSetUp, match=r"connection\.inject"):
        save(world, {**document, "connection": elsewhere}, world.dora)


def test_they_take_targets_out_but_bring_none_back(world):
    document = ssh_cluster(world)
    save(world, document)
    one = {**document, "targets": document["targets"][:1]}
    assert save(world, one, world.dora).changes
    with pytest.raises(OnlyAdministratorsSetUp, match="new target web-2"):
        save(world, document, world.dora)


def test_they_make_no_cluster_anew_that_they_removed(world):
    document = ssh_cluster(world)
    save(world, document)
    remove_document(kind="clusters", name="web", actor=world.dora, now=world.now)
    with pytest.raises(OnlyAdministratorsSetUp):
        save(world, document, world.dora)


def test_a_cluster_that_can_not_be_read_is_aimed_by_nobody_but_them(world):
    save(world, ssh_cluster(world))
    Cluster.objects.filter(name="web").update(environment="nowhere")
    with pytest.raises(StintError):
        save(world, AIMS["address"](ssh_cluster(world)), world.dora)


SOURCE = {
    "name": "pages",
    "provider": "pagerduty",
    "parameters": {"token": "t" * 20},
    "webhook_secrets": ["w" * 20],
    "clusters": ["web"],
}
WEBHOOK = {
    "name": "chat",
    "url": "https://hooks.example.com/x",
    "events": ["grant.ended"],
    "owners": {"identities": ["dora"]},
}
TRUST = {
    "name": "ci",
    "issuer": "https://token.actions.githubusercontent.com",
    "speaks_as": "deployer",
    "audience": "https://stint.example.com",
    "required_claims": {"repository_id": "1"},
    "workflow": "github:{repository_id}:{run_id}",
}


@pytest.mark.parametrize(
    ("kind", "document"), [("workflow-sources", SOURCE), ("webhooks", WEBHOOK), ("trust-policies", TRUST)]
)
def test_sources_webhooks_and_trust_policies_are_aimed_by_administrators_of_stint_alone(
    world, kind, document
):
    """By nobody who owns one, and by nobody who administers the clusters that it is about."""
    save(world, ssh_cluster(world))
    for who in (world.dora, world.alice):
        with pytest.raises(OnlyAdministratorsSetUp):
            save(world, document, who, kind=kind)
    assert not AuditEntry.objects.filter(object_ref=document["name"]).exists()

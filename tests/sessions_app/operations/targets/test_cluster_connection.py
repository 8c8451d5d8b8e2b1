"""How a cluster's secrets are given, kept and never shown."""

import json

import pytest
from pydantic import Field, SecretStr

from broker.kernel.errors import InvalidInput
from sessions_app.connectors.base import ConnectionParameters
from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import Cluster, Lease
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.catalog.catalog_rows import cluster_data
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.targets.cluster_connection import (
    STORED,
    parameters_of,
    readable_secrets,
    stored_secrets,
)
from tests.support.world.fakes import serving
from tests.support.world.world import HOST_KEY, SETUP


class Parameters(ConnectionParameters):
    user: str = "stint"
    password: SecretStr
    retries: int = Field(default=3, ge=1)


@pytest.fixture(autouse=True)
def fake(world):
    fake = FakeConnector(kind="ssh")
    with serving(lambda: fake, parameters=Parameters, prepares=True):
        yield fake


def cluster_file(connection: str, address: str = "127.0.0.1", name: str = "vault") -> str:
    return (
        f"name: {name}\nkind: ssh\nenvironment: production\nrisk: high\nconnection: {connection}\n"
        f"targets: [{{name: v-1, address: {address}, host_key: {HOST_KEY}}}]\n"
    )


def apply(world, text: str, *, on_server: bool = True):
    return apply_catalog(files={"clusters/vault.yaml": text}, actor=SETUP, now=world.now, on_server=on_server)


def stored(name: str = "vault") -> dict[str, str]:
    return readable_secrets(Cluster.objects.get(name=name))


def test_a_secret_is_sealed_and_shown_nowhere(world):
    plan = apply(world, cluster_file("{password: hunter2, retries: 5}"))
    cluster = Cluster.objects.get(name="vault")
    assert cluster.connection == {"retries": 5}
    assert b"hunter2" not in bytes(cluster.sealed_connection)
    assert cluster_data(cluster)["connection"] == {"retries": 5, "password": STORED}
    assert "hunter2" not in json.dumps([str(change) for change in plan.changes])
    parameters = parameters_of("ssh", cluster.connection, cluster.sealed_connection, cluster_id=cluster.pk)
    assert parameters.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(parameters)


def test_applying_the_same_secret_again_changes_nothing_and_another_is_a_change(world):
    apply(world, cluster_file("{password: hunter2}"))
    assert apply(world, cluster_file("{password: hunter2}")).changes == []
    changed = apply(world, cluster_file("{password: hunter3}")).changes
    assert len(changed) == 1
    assert "hunter" not in str(changed)
    assert stored() == {"password": "hunter3"}


def test_a_secret_may_stand_in_the_environment_or_a_file_of_the_server(world, tmp_path, monkeypatch):
    monkeypatch.setenv("VAULT_PASSWORD", "from-env")
    apply(world, cluster_file("{password: {env: VAULT_PASSWORD}}"))
    assert stored() == {"password": "from-env"}
    (tmp_path / "secret").write_text("from-file\n")
    apply(world, cluster_file(f"{{password: {{file: {tmp_path}/secret}}}}"))
    assert stored() == {"password": "from-file"}


def test_a_text_such_as_a_certificate_may_stand_in_a_file_of_the_server_and_is_shown(world, tmp_path):
    (tmp_path / "user").write_text("from-file\n")
    reference = f"{{password: x, user: {{file: {tmp_path}/user}}}}"
    apply(world, cluster_file(reference))
    assert Cluster.objects.get(name="vault").connection == {"user": "from-file"}
    assert apply(world, cluster_file(reference)).changes == []
    with pytest.raises(InvalidInput) as caught:
        apply(world, cluster_file("{password: x, user: {file: /etc/hostname}}"), on_server=False)
    assert "only `manage.py apply`" in str(caught.value.fields)


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ("{password: {env: NO_SUCH}}", "the environment variable NO_SUCH"),
        ("{password: {file: /no/such}}", "/no/such can't be read"),
        ("{password: {vault: x}}", "must be the value"),
        ("{password: 7}", "must be the value"),
        ("{password: x, user: {file: /no/such}}", "/no/such can't be read"),
        ("{password: x, user: {file: a, env: b}}", "must be the value"),
        (f"{{password: {STORED}}}", "no secret is stored"),
        ("{}", "missing"),
        ("{password: x, retries: 0}", "must be at least 1"),
        ("{password: x, passwort: y}", "passwort"),
    ],
)
def test_what_can_not_be_read_is_refused_with_what_to_do(world, connection, said):
    with pytest.raises(InvalidInput) as caught:
        apply(world, cluster_file(connection))
    assert said.lower() in str({**caught.value.fields, "hint": caught.value.hint}).lower()
    assert not Cluster.objects.filter(name="vault").exists()


def test_pages_and_the_api_read_no_secret_of_the_server(world, monkeypatch):
    monkeypatch.setenv("VAULT_PASSWORD", "from-env")
    for where in ("{env: VAULT_PASSWORD}", "{file: /etc/passwd}"):
        with pytest.raises(InvalidInput) as caught:
            apply(world, cluster_file(f"{{password: {where}}}"), on_server=False)
        assert "only `manage.py apply`" in str(caught.value.fields)


def save(world, text: str):
    return save_document(kind="clusters", source=text, actor=world.admin, now=world.now, name="vault")


def test_a_stored_secret_stays_when_something_else_changes(world):
    apply(world, cluster_file("{password: hunter2}"))
    save(world, cluster_file(f"{{password: {STORED}}}").replace("risk: high", "risk: low"))
    assert stored() == {"password": "hunter2"}
    assert Cluster.objects.get(name="vault").risk == "low"


@pytest.mark.parametrize("changed", ["address", "parameter"])
def test_a_stored_secret_is_not_sent_where_it_has_not_gone_before(world, changed):
    apply(world, cluster_file("{password: hunter2}"))
    more, address = ("", "192.0.2.66") if changed == "address" else (", user: mallory", "127.0.0.1")
    with pytest.raises(InvalidInput) as caught:
        save(world, cluster_file(f"{{password: {STORED}{more}}}", address))
    assert "enter it again" in str(caught.value.fields)


@pytest.fixture
def lease(world):
    """That of a grant on the cluster, made with its first secret."""
    apply(world, cluster_file("{password: hunter2}"))
    policy = world.catalog["policies/web-work.yaml"].replace("[web]", "[web, vault]")
    web = "connection: {password: x}\n" + world.catalog["clusters/web.yaml"].lstrip()
    files = {**world.catalog, "policies/web-work.yaml": policy, "clusters/web.yaml": web}
    apply_catalog(files=files, actor=SETUP, now=world.now)
    grant = world.grant(cluster="vault")
    prepare_grant(grant_id=grant.pk, now=lambda: world.now)
    return Lease.objects.get(grant=grant)


@pytest.mark.parametrize(("address", "password"), [("127.0.0.1", "hunter3"), ("192.0.2.7", "hunter2")])
def test_a_new_secret_undoes_what_the_old_one_made_but_not_at_a_place_that_the_cluster_has_left(
    world, lease, address, password
):
    """What is to be undone at the old address is undone with the old secret: the new one is for the new
    address alone.
    """
    apply(world, cluster_file("{password: hunter3}", address=address))
    lease.refresh_from_db()
    assert lease.address == "127.0.0.1"
    assert stored_secrets(lease.sealed_connection, cluster_id=lease.target.cluster_id) == {
        "password": password
    }


def test_a_secret_that_can_not_be_decrypted_any_more_can_be_given_again(world, settings):
    apply(world, cluster_file("{password: hunter2}"))
    settings.SECRET_KEY = "another-key-that-sealed-nothing-of-this"
    assert cluster_data(Cluster.objects.get(name="vault"))["name"] == "vault"
    apply(world, cluster_file("{password: hunter3}"))
    assert stored() == {"password": "hunter3"}


def test_a_kind_that_nothing_serves_is_refused_with_those_that_there_are(world):
    with pytest.raises(InvalidInput) as caught:
        apply(world, cluster_file("{}").replace("kind: ssh", "kind: telnet"))
    assert "unknown kind telnet: choose one of" in str(caught.value.fields)


def test_what_means_nothing_for_a_kind_is_refused(world):
    text = "name: db\nkind: postgres\nenvironment: staging\nrisk: low\nconnection: {password: x}\n"
    with pytest.raises(InvalidInput) as caught:
        apply_catalog(
            files={
                "clusters/db.yaml": text + "targets: [{name: db-1, address: db.example, account: root}]\n"
            },
            actor=SETUP,
            now=world.now,
        )
    assert "is not used by clusters of kind postgres" in str(caught.value.fields)

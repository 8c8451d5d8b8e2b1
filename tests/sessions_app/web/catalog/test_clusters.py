"""Clusters in the pages: their connection, and setting them up."""

from typing import Literal

import pytest
from guardian.shortcuts import assign_perm
from pydantic import Field, SecretStr

from sessions_app.connectors.base import ConnectionParameters
from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import Cluster, Target, TargetCheck
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.targets.cluster_connection import readable_secrets
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.reconcile_all import reconcile_all
from sessions_app.queries.gateways.keys import SSH_USER_CA
from tests.support.world.fakes import serving
from tests.support.world.reading import answered, read, says
from tests.support.world.world import HOST_KEY

STEPS = [{"name": "reachable", "ok": False, "detail": "no answer", "fix": "Open `port 22` <b>there</b>."}]


def looked(world, target: str, *, ok: bool, steps=()) -> TargetCheck:
    row = Target.objects.get(name=target)
    return TargetCheck.objects.create(
        target=row, asked_by=world.admin, asked_at=world.now, finished_at=world.now, ok=ok, steps=list(steps)
    )


def form(world, **changes) -> dict[str, str]:
    rows = {
        f"t{n}.{field}": value
        for n in (0, 1)
        for field, value in {
            "name": f"web-{n + 1}",
            "address": "127.0.0.1",
            "port": f"220{n + 1}",
            "account": "root",
            "host_key": HOST_KEY,
        }.items()
    }
    head = {
        "name": "web",
        "summary": "Two web servers",
        "environment": "production",
        "risk": "medium",
        "rows": "2",
    }
    return {**head, **rows, "act": "save", **changes}


def test_the_steps_and_the_set_up_are_for_administrators(world, as_alice, browser, settings):
    settings.SSH_SOURCE_ADDRESS = ["192.0.2.5"]
    ensure_authority(SSH_USER_CA, now=world.now)
    looked(world, "web-1", ok=False, steps=STEPS)
    assert "Connection check" not in read(as_alice, "/clusters/web/")
    assert "stint_ca.pub" not in read(as_alice, "/clusters/web/")
    assign_perm("administer_cluster", world.dora, Cluster.objects.get(name="web"))
    page = read(browser("dora"), "/clusters/web/")
    says(page, "1 step failed", "Open <code>port 22</code> &lt;b&gt;there&lt;/b&gt;.")
    says(page, "TrustedUserCAKeys /etc/ssh/stint_ca.pub", 'data-copy="ssh-ed25519 ')


def test_a_check_is_asked_for_and_polled_until_it_is_over(world, as_admin):
    ensure_authority(SSH_USER_CA, now=world.now)
    answer = as_admin.post("/clusters/web/check/", {"target": "web-1"}, headers={"HX-Request": "true"})
    assert 'hx-trigger="every 1s, look"' in answer.content.decode()
    (check,) = TargetCheck.objects.all()
    assert (check.target.name, check.asked_by) == ("web-1", world.admin)
    TargetCheck.objects.update(finished_at=world.now, ok=True, steps=[])
    fragment = read(as_admin, "/clusters/web/checks/")
    assert "hx-trigger" not in fragment
    assert "Passed" in fragment


def test_a_get_makes_no_authority_and_a_press_does(world, as_admin):
    assert "There is no SSH certificate authority yet" in read(as_admin, "/clusters/web/")
    as_admin.post("/clusters/web/authority/")
    assert "There is no SSH certificate authority yet" not in read(as_admin, "/clusters/web/")


def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(world, as_admin):
    page = answered(
        as_admin.post(
            "/new/cluster/", form(world, name="db", **{"t1.port": "70000", "t0.host_key": "ssh-rsa <b>"})
        ),
        400,
    )
    says(page, "Must be at most 65535", 'value="70000"', 'value="ssh-rsa &lt;b&gt;"')
    assert not Cluster.objects.filter(name="db").exists()


def test_the_hint_and_the_error_about_a_name_agree(world, as_admin):
    assert "Lowercase letters, digits, hyphens and underscores, like web-eu." in read(
        as_admin, "/new/cluster/"
    )
    page = answered(as_admin.post("/new/cluster/", form(world, name="Web 1")), 400)
    says(page, "Must be lowercase letters, digits, hyphens and underscores, such as web-eu")


def test_another_row_is_added_and_one_is_taken_out_without_a_script(world, as_admin):
    assert "Target 3" in as_admin.post("/clusters/web/edit/", form(world, act="add")).content.decode()
    as_admin.post("/clusters/web/edit/", form(world, **{"t1.drop": "1"}))
    assert list(Target.objects.live().values_list("name", flat=True)) == ["web-1"]


def test_what_was_seen_on_targets_is_shown_with_what_is_not_as_it_should_be(world, making, browser):
    grant = prepare_grant(grant_id=world.grant().pk, now=lambda: world.now)
    making.left.pop(("root@127.0.0.1:2201", grant.mark))
    making.down = {"web-2"}
    reconcile_all(now=lambda: world.now)
    page = read(browser("bob"), "/clusters/web/")
    says(page, "web-2 does not respond.", f"web-1: Access that a grant needs is missing ({grant.ref})")
    assert grant.mark not in page


def test_a_kind_that_nothing_serves_any_more_still_has_a_page(world, as_admin):
    Cluster.objects.filter(name="web").update(kind="telepathy")
    assert "telepathy: no connector available" in read(as_admin, "/clusters/web/")
    assert as_admin.get("/new/cluster/?kind=telepathy").status_code == 404


class Parameters(ConnectionParameters):
    user: str = Field(description="Role that Stint logs in as")
    password: SecretStr
    mode: Literal["strict", "lax"] = "strict"
    retries: int = Field(default=3, ge=1)
    verify: bool = True
    names: tuple[str, ...] = ()
    ca: str | None = Field(default=None, description="PEM of the authority")


@pytest.fixture
def vaults():
    fake = FakeConnector(kind="vault")
    with serving(
        lambda: fake,
        kind="vault",
        title="Vault",
        parameters=Parameters,
        prepares=True,
        runs=False,
        default_port=8200,
        account="",
    ):
        yield fake


NEW_VAULT = "/new/cluster/?kind=vault"
VAULT = {
    "name": "vault",
    "environment": "production",
    "risk": "high",
    "rows": "1",
    "t0.name": "v-1",
    "t0.address": "127.0.0.1",
    "connection.user": "stint",
    "connection.password": "hunter2",
    "connection.mode": "lax",
    "connection.retries": "5",
    "connection.names": "a, b",
    "act": "save",
}


def test_what_is_typed_is_stored_with_its_secret_sealed(world, vaults, as_admin):
    assert as_admin.post(NEW_VAULT, VAULT).status_code == 302
    cluster = Cluster.objects.get(name="vault")
    assert cluster.connection == {
        "user": "stint",
        "mode": "lax",
        "retries": 5,
        "verify": False,
        "names": ["a", "b"],
    }
    assert (cluster.targets.get().port, cluster.targets.get().account) == (8200, "")
    page = read(as_admin, "/clusters/vault/edit/")
    assert "hunter2" not in page
    assert "stored; type to replace it" in page


PAY = {
    "name": "pay",
    "environment": "production",
    "risk": "high",
    "rows": "1",
    "t0.name": "pay",
    "t0.address": "pay.example.com",
    "connection.proxy": "stint",
    "connection.inject.header": "X-Api-Key",
    "connection.inject.value": "hunter2",
    "connection.tls": "true",
    "act": "save",
}


def test_a_credential_to_inject_is_typed_into_fields_of_its_own(world, as_admin):
    page = read(as_admin, "/new/cluster/?kind=http")
    says(page, 'name="connection.inject.oauth.client_secret" type="password"', "Inject OAuth token URL")
    assert as_admin.post("/new/cluster/?kind=http", PAY).status_code == 302
    page = read(as_admin, "/clusters/pay/edit/")
    assert "hunter2" not in page
    assert 'value="X-Api-Key"' in page
    again = {**PAY, "connection.inject.value": "", "summary": "Payments"}
    assert as_admin.post("/clusters/pay/edit/", again).status_code == 302
    cluster = Cluster.objects.get(name="pay")
    assert cluster.connection == {"proxy": "stint", "inject": {"header": "X-Api-Key"}}
    assert (cluster.summary, readable_secrets(cluster)) == ("Payments", {"inject.value": "hunter2"})

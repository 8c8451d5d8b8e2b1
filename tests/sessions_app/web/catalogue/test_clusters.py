"""Clusters in the pages: their connection, and setting them up."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import pytest
from guardian.shortcuts import assign_perm
from pydantic import Field, SecretStr

from broker.audit.models import AuditEntry
from sessions_app.connectors.base import ConnectionParameters
from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import Cluster, GrantState, Target, TargetCheck
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.targets.cluster_connection import readable_secrets
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.reconcile_cluster import reconcile_cluster
from sessions_app.queries.authority import SSH_USER_CA
from tests.sessions_app.web.test_queries import count
from tests.support.world.fakes import serving
from tests.support.world.world import HOST_KEY

STEPS = [{"name": "reachable", "ok": False, "detail": "no answer", "fix": "Open `port 22` <b>there</b>."}]


@pytest.fixture
def as_admin(browser):
    return browser("admin")


def read(client, url: str) -> str:
    return client.get(url).content.decode()


def looked(world, target: str, *, ok: bool, steps=()) -> TargetCheck:
    row = Target.objects.get(name=target)
    return TargetCheck.objects.create(
        target=row, asked_by=world.admin, asked_at=world.now, finished_at=world.now, ok=ok, steps=list(steps)
    )


def form(world, **changes) -> dict[str, str]:
    rows = {
        f"t{n}.{field}": value
        for n in (0, 1)
        for field, value in {"name": f"web-{n + 1}", "address": "127.0.0.1", "port": f"220{n + 1}", "account": "root",
                             "host_key": HOST_KEY}.items()
    }  # fmt: skip
    head = {
        "name": "web",
        "summary": "Two web servers",
        "environment": "production",
        "risk": "medium",
        "rows": "2",
    }
    return {**head, **rows, "act": "save", **changes}


def test_the_list_says_how_the_connection_is(world, as_alice):
    assert "never checked" in read(as_alice, "/clusters/")
    looked(world, "web-1", ok=True)
    assert "1 of 2 never checked" in read(as_alice, "/clusters/")
    looked(world, "web-2", ok=False)
    assert "1 target fails" in read(as_alice, "/clusters/")
    looked(world, "web-2", ok=True)
    assert "healthy" in read(as_alice, "/clusters/")


def test_the_steps_and_the_set_up_are_for_administrators(world, as_alice, browser, settings):
    settings.SSH_SOURCE_ADDRESS = ["192.0.2.5"]
    ensure_authority(SSH_USER_CA, now=world.now)
    looked(world, "web-1", ok=False, steps=STEPS)
    assert "Connection check" not in read(as_alice, "/clusters/web/")
    assert "stint_ca.pub" not in read(as_alice, "/clusters/web/")
    assign_perm("administer_cluster", world.dora, Cluster.objects.get(name="web"))
    page = read(browser("dora"), "/clusters/web/")
    assert "1 step failed" in page
    assert "Open <code>port 22</code> &lt;b&gt;there&lt;/b&gt;." in page
    assert "TrustedUserCAKeys /etc/ssh/stint_ca.pub" in page
    assert 'data-copy="ssh-ed25519 ' in page


def test_the_page_says_what_the_lines_change_and_has_none_for_root_without_an_address(
    world, as_admin, settings
):
    ensure_authority(SSH_USER_CA, now=world.now)
    page = read(as_admin, "/clusters/web/")
    assert "Nothing to run yet." in page
    assert "administrators could lock themselves out" in page
    assert "TrustedUserCAKeys" not in page
    settings.SSH_SOURCE_ADDRESS = ["192.0.2.5"]
    page = read(as_admin, "/clusters/web/")
    assert (
        "<li>Logins as root from 192.0.2.5 change; from all other addresses they stay unchanged.</li>" in page
    )
    assert "AuthorizedPrincipalsFile /etc/ssh/stint_principals/%u" in page
    assert "stint:web" in page


def test_who_administers_a_cluster_is_shown_that_they_do_not_aim_it(world, browser, as_admin):
    assign_perm("administer_cluster", world.dora, Cluster.objects.get(name="web"))
    page = read(browser("dora"), "/clusters/web/edit/")
    assert "Only Stint administrators can change target addresses" in page
    assert 'name="t0.address" readonly' in page
    assert 'value="add"' not in page
    assert "readonly value" not in read(as_admin, "/clusters/web/edit/")


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


def test_all_targets_are_checked_by_one_press_without_a_script(world, as_admin):
    assert as_admin.post("/clusters/web/check/")["Location"] == "/clusters/web/"
    assert TargetCheck.objects.count() == 2
    assert as_admin.post("/clusters/web/check/", {"target": "no-such"}).status_code == 404


def test_a_get_makes_no_authority_and_a_press_does(world, as_admin):
    assert "There is no SSH certificate authority yet" in read(as_admin, "/clusters/web/")
    as_admin.post("/clusters/web/authority/")
    assert "There is no SSH certificate authority yet" not in read(as_admin, "/clusters/web/")


def test_a_cluster_is_made_in_a_form(world, as_admin):
    answer = as_admin.post("/new/cluster/", form(world, name="db", summary="Databases", groups="approvers"))
    assert answer["Location"] == "/clusters/db/"
    made = Cluster.objects.get(name="db")
    assert [(t.name, t.port) for t in made.targets.order_by("name")] == [("web-1", 2201), ("web-2", 2202)]
    assert AuditEntry.objects.get(event="cluster.created", object_ref="db").actor == "admin"


def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(world, as_admin):
    answer = as_admin.post(
        "/new/cluster/", form(world, name="db", **{"t1.port": "70000", "t0.host_key": "ssh-rsa <b>"})
    )
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "Must be at most 65535" in page
    assert 'value="70000"' in page
    assert 'value="ssh-rsa &lt;b&gt;"' in page
    assert not Cluster.objects.filter(name="db").exists()


def test_a_target_without_a_key_is_told_why_that_can_not_be(world, as_admin):
    page = as_admin.post("/new/cluster/", form(world, name="db", **{"t0.host_key": ""})).content.decode()
    assert "Stint never connects to a host that it can&#x27;t verify" in page


def test_another_row_is_added_and_one_is_taken_out_without_a_script(world, as_admin):
    page = as_admin.post("/clusters/web/edit/", form(world, act="add")).content.decode()
    assert "Target 3" in page
    as_admin.post("/clusters/web/edit/", form(world, **{"t1.drop": "1"}))
    assert list(Target.objects.live().values_list("name", flat=True)) == ["web-1"]


def test_what_ends_is_said_before_a_second_press_ends_it(world, as_admin):
    grant = world.grant()
    changed = form(world, **{"t0.address": "127.0.0.9"})
    page = as_admin.post("/clusters/web/edit/", changed).content.decode()
    assert "Saving it ends 1 grant immediately" in page
    assert grant.ref in page
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE
    assert Target.objects.get(name="web-1").address == "127.0.0.1"
    answer = as_admin.post("/clusters/web/edit/", {**changed, "told": grant.ref})
    assert answer.status_code == 302
    grant.refresh_from_db()
    assert grant.state == GrantState.REVOKING


def test_a_look_changes_nothing(world, as_admin):
    page = as_admin.post("/clusters/web/edit/", form(world, act="look", summary="Other")).content.decode()
    assert "+summary: Other" in page
    assert "No grants end" in page
    assert Cluster.objects.get(name="web").summary == "Two web servers"


def test_a_cluster_is_edited_as_text_with_faults_at_their_lines(world, as_admin):
    page = read(as_admin, "/clusters/web/edit/?as=text")
    assert "name: web\nkind: ssh" in page
    source = "name: web\nkind: ssh\nenvironment: moon\nrisk: medium\ntargets: []\n"
    answer = as_admin.post("/clusters/web/edit/?as=text", {"act": "save", "source": source})
    assert answer.status_code == 400
    assert '<a href="#L3">Line 3</a>' in answer.content.decode()
    assert "environment: moon" in answer.content.decode()


def test_a_cluster_is_removed_by_two_presses(world, as_admin):
    grant = world.grant()
    page = as_admin.post("/clusters/web/remove/").content.decode()
    assert "Removing it ends 1 grant immediately" in page
    assert "web-work" in page
    assert Cluster.objects.live().exists()
    again = as_admin.post("/clusters/web/remove/", {"confirm": "1", "told": ""})
    assert again.status_code == 409
    assert Cluster.objects.live().exists()
    as_admin.post("/clusters/web/remove/", {"confirm": "1", "told": grant.ref})
    assert not Cluster.objects.live().exists()


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_who_may_only_see_a_cluster_finds_no_form(world, browser, who):
    client = browser(who)
    for url in ("/new/cluster/", "/clusters/web/edit/", "/clusters/web/checks/"):
        assert client.get(url).status_code == 404
    assert client.post("/clusters/web/edit/", form(world, summary="x")).status_code == 404
    assert client.post("/clusters/web/check/").status_code == 404
    assert "Edit" not in read(client, "/clusters/web/")


def test_a_check_that_no_worker_takes_says_so(world, as_admin, now):
    row = Target.objects.get(name="web-1")
    TargetCheck.objects.create(target=row, asked_by=world.admin, asked_at=now - dt.timedelta(minutes=1))
    assert "No worker picked this up" in read(as_admin, "/clusters/web/checks/")
    TargetCheck.objects.update(asked_at=now - dt.timedelta(minutes=5))
    assert "Never checked" in read(as_admin, "/clusters/web/checks/")


def test_a_cluster_costs_the_same_for_any_number_of_targets_and_checks(world, as_admin):
    looked(world, "web-1", ok=True)
    few = count(as_admin, "/clusters/web/")
    cluster = Cluster.objects.get(name="web")
    for number in range(20):
        target = Target.objects.create(
            cluster=cluster, name=f"more-{number}", address="127.0.0.1", host_key=HOST_KEY
        )
        looked(world, target.name, ok=bool(number % 2))
    assert count(as_admin, "/clusters/web/") == few


def test_what_was_seen_on_targets_is_shown_with_what_is_not_as_it_should_be(world, making, browser):
    grant = prepare_grant(grant_id=world.grant().pk, now=lambda: world.now)
    making.left.pop(("root@127.0.0.1:2201", grant.mark))
    making.down = {"web-2"}
    cluster = Cluster.objects.get(name="web")
    reconcile_cluster(cluster_id=cluster.pk, now=lambda: world.now)
    page = read(browser("bob"), "/clusters/web/")
    assert "web-2 does not answer." in page
    assert f"web-1: Access that a grant needs is missing ({grant.ref})" in page
    assert grant.mark not in page


def test_a_kind_that_nothing_serves_any_more_still_has_a_page(world, as_admin):
    Cluster.objects.filter(name="web").update(kind="telepathy")
    page = read(as_admin, "/clusters/web/")
    assert "telepathy: no connector available" in page


# Kinds that are logged in to by parameters of their own


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
        lambda: fake, kind="vault", title="Vault", parameters=Parameters, prepares=True,
        runs=False, default_port=8200, account="",
    ):  # fmt: skip
        yield fake


NEW_VAULT = "/new/cluster/?kind=vault"
VAULT = {
    "name": "vault", "environment": "production", "risk": "high", "rows": "1", "t0.name": "v-1",
    "t0.address": "127.0.0.1", "connection.user": "stint", "connection.password": "hunter2",
    "connection.mode": "lax", "connection.retries": "5", "connection.names": "a, b", "act": "save",
}  # fmt: skip


def test_the_form_asks_for_what_the_connector_declares(world, vaults, as_admin):
    page = read(as_admin, NEW_VAULT)
    assert 'name="connection.password" type="password"' in page
    assert "Role that Stint logs in as" in page
    assert "<option selected>strict</option>" in page
    assert '<textarea class="ctl mono" id="c-ca"' in page
    assert 'placeholder="8200"' in page
    assert "Login account" not in page


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


def test_a_secret_that_is_not_typed_again_stays(world, vaults, as_admin):
    as_admin.post(NEW_VAULT, VAULT)
    again = {**VAULT, "connection.password": "", "summary": "The vault"}
    assert as_admin.post("/clusters/vault/edit/", again).status_code == 302
    cluster = Cluster.objects.get(name="vault")
    assert (cluster.summary, readable_secrets(cluster)) == (
        "The vault",
        {"password": "hunter2"},
    )


def test_a_fault_stands_at_its_field_and_nothing_typed_is_lost(world, vaults, as_admin):
    answer = as_admin.post(NEW_VAULT, {**VAULT, "connection.retries": "0", "connection.password": ""})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "is missing" in page.lower() or "required" in page.lower()
    assert 'value="stint"' in page
    assert not Cluster.objects.filter(name="vault").exists()


def test_a_kind_that_nobody_serves_can_not_be_made(world, as_admin):
    assert as_admin.get("/new/cluster/?kind=telepathy").status_code == 404


PAY = {
    "name": "pay", "environment": "production", "risk": "high", "rows": "1", "t0.name": "pay",
    "t0.address": "pay.example.com", "connection.proxy": "stint", "connection.inject.header": "X-Api-Key",
    "connection.inject.value": "hunter2", "connection.tls": "true", "act": "save",
}  # fmt: skip


def test_a_credential_to_inject_is_typed_into_fields_of_its_own(world, as_admin):
    page = read(as_admin, "/new/cluster/?kind=http")
    assert 'name="connection.inject.oauth.client_secret" type="password"' in page
    assert "Inject OAuth token URL" in page
    assert as_admin.post("/new/cluster/?kind=http", PAY).status_code == 302
    page = read(as_admin, "/clusters/pay/edit/")
    assert "hunter2" not in page
    assert 'value="X-Api-Key"' in page
    again = {**PAY, "connection.inject.value": "", "summary": "Payments"}
    assert as_admin.post("/clusters/pay/edit/", again).status_code == 302
    cluster = Cluster.objects.get(name="pay")
    assert cluster.connection == {"proxy": "stint", "inject": {"header": "X-Api-Key"}}
    assert (cluster.summary, readable_secrets(cluster)) == (
        "Payments",
        {"inject.value": "hunter2"},
    )


def test_a_fault_of_what_is_injected_stands_at_its_field(world, as_admin):
    answer = as_admin.post("/new/cluster/?kind=http", {**PAY, "connection.inject.header": "Host"})
    assert answer.status_code == 400
    assert "Can&#x27;t carry a credential" in answer.content.decode()

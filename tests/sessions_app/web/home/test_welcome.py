"""The first steps of a Stint in which nothing is set up."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from sessions_app.models import AccessPolicy, Cluster, CommandSet, Target, TargetCheck
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.policy.commands.kinds import starter
from sessions_app.queries.authority import SSH_USER_CA
from tests.support.world.world import HOST_KEY, SETUP

CLUSTER = {
    "act": "save", "name": "web", "summary": "", "environment": "production", "risk": "medium", "rows": "1", "t0.name": "web-1",
    "t0.address": "127.0.0.1", "t0.port": "22", "t0.account": "stint", "t0.host_key": HOST_KEY,
}  # fmt: skip
POLICY = {
    "act": "save", "name": "first", "cluster": "web", "command_set": "restart-service", "requesters": "operators",
    "approvers": "approvers", "hours": "2",
}  # fmt: skip


@pytest.fixture
def root(db, now) -> Identity:
    """The first administrator, as `createsuperuser` makes one, and nobody else."""
    return create_identity(username="root", email="root@example.com", is_superuser=True, actor=SETUP, now=now)


@pytest.fixture
def client(root) -> Client:
    made = Client()
    made.force_login(root, backend="accounts.backends.PasswordBackend")
    return made


def add(client, username: str, groups: str) -> str:
    form = {
        "act": "person",
        "name": username.title(),
        "username": username,
        "email": f"{username}@example.com",
        "groups": groups,
    }
    return client.post("/welcome/people/", form).content.decode()


def current(client) -> str:
    page = client.get("/welcome/").content.decode()
    return re.search(r'href="/welcome/(\w+)/" aria-current="step"', page)[1]


def test_home_leads_an_administrator_to_the_first_steps_until_there_is_a_cluster(client):
    assert client.get("/")["Location"] == "/welcome/"
    client.post("/welcome/cluster/", CLUSTER)
    assert client.get("/").status_code == 200


def test_the_first_steps_can_be_walked_left_and_resumed(root, client, now):
    assert current(client) == "people"
    add(client, "alice", "operators")
    assert current(client) == "cluster"
    assert client.post("/welcome/cluster/", CLUSTER)["Location"] == "/welcome/check/"
    assert current(client) == "check"
    ensure_authority(SSH_USER_CA, now=now)
    assert "TrustedUserCAKeys" in client.get("/welcome/check/").content.decode()
    TargetCheck.objects.create(
        target=Target.objects.get(), asked_by=root, asked_at=now, finished_at=now, ok=True, steps=[]
    )
    assert current(client) == "commands"
    form = {"act": "save", "source": starter("restart").source}
    assert client.post("/welcome/commands/", form)["Location"] == "/welcome/policy/"
    assert CommandSet.objects.get().published.number == 1
    assert current(client) == "policy"
    add(client, "bob", "approvers")
    assert client.post("/welcome/policy/", POLICY)["Location"] == "/welcome/done/"
    policy = AccessPolicy.objects.get()
    assert (policy.document["max_duration"], policy.document["approvals"][0]["from"]) == ("2h", ["approvers"])
    assert "Stint is set up" in client.get("/welcome/").content.decode()


def test_a_check_that_fails_leaves_its_step_open(root, client, now):
    add(client, "alice", "operators")
    client.post("/welcome/cluster/", CLUSTER)
    for ok in (True, False):
        TargetCheck.objects.create(
            target=Target.objects.get(), asked_by=root, asked_at=now, finished_at=now, ok=ok, steps=[]
        )
    assert current(client) == "check"


def test_a_person_gets_a_first_password_that_is_shown_once(client):
    page = add(client, "alice", "operators, on-call")
    password = re.search(r'<code class="secret" tabindex="0">([^<]+)</code>', page)[1]
    assert len(password) == 20
    alice = Identity.objects.get(username="alice")
    assert alice.check_password(password)
    assert sorted(alice.groups.values_list("name", flat=True)) == ["on-call", "operators"]
    assert password not in client.get("/welcome/people/").content.decode()


def test_a_name_that_is_taken_is_told_and_what_was_typed_stays(client):
    add(client, "alice", "operators")
    form = {
        "act": "person",
        "username": "alice",
        "email": "a@example.com",
        "name": "Alice <b>",
        "groups": "night",
    }
    page = client.post("/welcome/people/", form).content.decode()
    assert "alice is taken" in page
    assert 'value="Alice &lt;b&gt;"' in page


def test_somebody_is_put_into_a_group_and_its_others_stay(root, client):
    add(client, "alice", "operators")
    client.post("/welcome/people/", {"act": "group", "member": "root", "group": "operators"})
    assert sorted(Identity.objects.filter(groups__name="operators").values_list("username", flat=True)) == [
        "alice", "root",
    ]  # fmt: skip


def test_what_is_wrong_with_a_cluster_stands_at_its_field(client):
    answer = client.post("/welcome/cluster/", {**CLUSTER, "name": "No Name"})
    assert answer.status_code == 400
    assert 'value="No Name"' in answer.content.decode()
    assert not Cluster.objects.exists()


def test_a_command_set_that_is_not_fit_is_not_published(client):
    source = starter("empty").source.replace("run: uptime", "run: bash -c {x}\n    where: {x: {name: {}}}")
    answer = client.post("/welcome/commands/", {"act": "save", "source": source})
    assert answer.status_code in (400, 422)
    assert not CommandSet.objects.exists()


def test_a_policy_says_what_is_missing_for_it(client):
    assert "Finish the earlier steps first" in client.get("/welcome/policy/").content.decode()
    add(client, "alice", "operators")
    client.post("/welcome/cluster/", CLUSTER)
    client.post("/welcome/commands/", {"act": "save", "source": starter("restart").source})
    answer = client.post("/welcome/policy/", {**POLICY, "requesters": []})
    assert answer.status_code == 400
    assert "Name at least one group" in answer.content.decode()
    evil = client.post("/welcome/policy/", {**POLICY, "name": 'x\napprovals: none # "'})
    assert evil.status_code == 400
    assert not AccessPolicy.objects.exists()


def test_without_approvers_it_starts_without_approval(client):
    add(client, "alice", "operators")
    client.post("/welcome/cluster/", CLUSTER)
    client.post("/welcome/commands/", {"act": "save", "source": starter("restart").source})
    client.post("/welcome/policy/", {**POLICY, "approvers": []})
    assert AccessPolicy.objects.get().document["approvals"] == "none"


def test_reading_the_steps_changes_nothing_and_others_do_not_find_them(client, now):
    from broker.audit.models import AuditEntry

    before = AuditEntry.objects.count()
    for step in ("people", "cluster", "check", "commands", "policy", "done"):
        assert client.get(f"/welcome/{step}/").status_code == 200
    assert AuditEntry.objects.count() == before
    assert client.get("/welcome/nowhere/").status_code == 404
    alice = create_identity(username="alice", email="alice@example.com", actor=SETUP, now=now)
    other = Client()
    other.force_login(alice, backend="accounts.backends.PasswordBackend")
    assert other.get("/welcome/").status_code == 404
    assert other.post("/welcome/people/", {"act": "person", "username": "x"}).status_code == 404
    assert other.get("/").status_code == 200

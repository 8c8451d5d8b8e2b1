"""The first steps of a Stint in which nothing is set up."""

import re

import pytest
from django.test import Client

from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from broker.audit.models import AuditEntry
from sessions_app.models import AccessPolicy, CommandSet, Target, TargetCheck
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.policy.commands.kinds import starter
from sessions_app.queries.gateways.keys import SSH_USER_CA
from tests.support.world.reading import read
from tests.support.world.world import HOST_KEY, SETUP

CLUSTER = {
    "act": "save",
    "name": "web",
    "summary": "",
    "environment": "production",
    "risk": "medium",
    "rows": "1",
    "t0.name": "web-1",
    "t0.address": "127.0.0.1",
    "t0.port": "22",
    "t0.account": "stint",
    "t0.host_key": HOST_KEY,
}
POLICY = {
    "act": "save",
    "name": "first",
    "cluster": "web",
    "command_set": "restart-service",
    "requesters": "operators",
    "approvers": "approvers",
    "hours": "2",
}


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
    page = read(client, "/welcome/")
    return re.search(r'href="/welcome/(\w+)/" aria-current="step"', page)[1]


def test_home_leads_an_administrator_to_the_first_steps_until_there_is_a_cluster(client):
    assert client.get("/")["Location"] == "/welcome/"
    client.post("/welcome/cluster/", CLUSTER)
    assert client.get("/").status_code == 200


def test_the_first_steps_can_be_walked_left_and_resumed(root, client, now):
    assert current(client) == "people"
    add(client, "alice", "operators")
    assert current(client) == "people"
    assert "<b>1 of 2</b> is in a group" in read(client, "/welcome/people/")
    add(client, "bob", "approvers")
    assert current(client) == "cluster"
    assert client.post("/welcome/cluster/", CLUSTER)["Location"] == "/welcome/commands/"
    assert current(client) == "commands"
    form = {"act": "save", "source": starter("restart").source}
    assert client.post("/welcome/commands/", form)["Location"] == "/welcome/policy/"
    assert CommandSet.objects.get().published.number == 1
    assert current(client) == "policy"
    assert client.post("/welcome/policy/", POLICY)["Location"] == "/welcome/check/"
    policy = AccessPolicy.objects.get()
    assert (policy.document["max_duration"], policy.document["approvals"][0]["from"]) == ("2h", ["approvers"])
    ensure_authority(SSH_USER_CA, now=now)
    assert current(client) == "check"
    # One run of the setup is enough: it allows the commands of the policy, too.
    assert "NOPASSWD: /etc/ssh/stint_as_root systemctl restart nginx" in read(client, "/welcome/check/")
    assert "Stint is set up" not in read(client, "/welcome/done/")
    TargetCheck.objects.create(
        target=Target.objects.get(), asked_by=root, asked_at=now, finished_at=now, ok=True, steps=[]
    )
    assert "Stint is set up" in read(client, "/welcome/")


def test_somebody_is_put_into_a_group_and_its_others_stay(root, client):
    add(client, "alice", "operators")
    client.post("/welcome/people/", {"act": "group", "member": "root", "group": "operators"})
    assert sorted(Identity.objects.filter(groups__name="operators").values_list("username", flat=True)) == [
        "alice",
        "root",
    ]


def test_without_approvers_it_starts_without_approval(client):
    add(client, "alice", "operators")
    client.post("/welcome/cluster/", CLUSTER)
    client.post("/welcome/commands/", {"act": "save", "source": starter("restart").source})
    client.post("/welcome/policy/", {**POLICY, "approvers": []})
    assert AccessPolicy.objects.get().document["approvals"] == "none"


def test_reading_the_steps_changes_nothing_and_others_do_not_find_them(client, now):
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

"""A grant on a cluster of Kubernetes, from the catalogue's files to the receipt, by the operations alone."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command

from broker.audit.models import AuditEntry
from sessions_app.models import EndReason, Grant, GrantState, Lease
from sessions_app.operations.deprovision_grant import deprovision_grant
from sessions_app.operations.end_grant import end_grant
from sessions_app.operations.issue_credential import issue_credential
from sessions_app.operations.prepare_grant import prepare_grant
from tests.support.kubernetes.cluster import Cluster, in_process
from tests.support.kubernetes.server import ApiServer

SET = """\
name: scale-shop
kind: kubernetes
summary: Set how many pods a deployment has
risk: medium
parameters:
  ns: {choice: [web, api]}
commands:
  - run: get pods -n {ns}
    effect: read
  - run: scale deployment/shop -n {ns}
    effect: change
examples:
  allow: ["get pods -n web"]
  refuse: ["get secrets -n web"]
"""
POLICY = """\
name: kube-work
summary: Work on the cluster
clusters: [prod]
command_sets: [scale-shop]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}
max_duration: 4h
"""


@pytest.fixture
def cluster(tmp_path) -> Cluster:
    with ApiServer(tmp_path, cache_seconds=0.2) as server:
        yield in_process(server)


@pytest.fixture
def kube(world, cluster, capsys):
    """The world with that cluster in it, set up by what the command prints."""
    for name in ("web", "api"):
        cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    world.apply(files := {"command-sets/scale-shop.yaml": SET})
    call_command("kubernetes_target_setup", "prod", "--command-set", "scale-shop")
    cluster.apply(capsys.readouterr().out)
    connection = {"ca": cluster.ca, "token": cluster.token_of("stint-system", "stint")}
    head = "name: prod\nkind: kubernetes\nsummary: One\nenvironment: production\nrisk: medium\n"
    rows = f"targets:\n  - {{name: prod-1, address: {cluster.address}, port: {cluster.port}}}\n"
    files |= {
        "clusters/prod.yaml": f"{head}{rows}connection: {json.dumps(connection)}\n",
        "policies/kube.yaml": POLICY,
    }
    world.apply(files)
    return world


def started(kube) -> Grant:
    ask = {"cluster": "prod", "command_set": "scale-shop", "parameters": {"ns": "web"}}
    return prepare_grant(grant_id=kube.grant(**ask).pk, now=lambda: kube.now)


def test_a_grant_is_made_used_ended_and_proven(kube, cluster):
    grant = started(kube)
    assert grant.state == GrantState.ACTIVE
    credential = issue_credential(grant_id=grant.pk, actor=kube.alice, target=None, now=kube.now)
    token = credential.fields["Token"]
    assert cluster.as_holder("GET", "/api/v1/namespaces/web/pods", token) == 200
    assert cluster.as_holder("GET", "/api/v1/namespaces/api/pods", token) == 403
    end_grant(grant_id=grant.pk, actor=kube.bob, reason=EndReason.REVOKED, now=kube.now)
    ended = deprovision_grant(grant_id=grant.pk, now=lambda: kube.now)
    assert ended.state == GrantState.ENDED
    assert cluster.as_holder("GET", "/api/v1/namespaces/web/pods", token) in (401, 403)
    evidence = Lease.objects.get(grant=grant).evidence
    assert evidence["left"] == []
    assert evidence["account_may"] == {"list pods in namespace web": False}


def test_no_token_is_kept_anywhere(kube):
    grant = started(kube)
    credential = issue_credential(grant_id=grant.pk, actor=kube.alice, target=None, now=kube.now)
    kept = json.dumps(
        [*AuditEntry.objects.values_list("body", flat=True), *Lease.objects.values_list("made", flat=True)]
    )
    assert credential.fields["Token"] not in kept
    assert credential.fields["Token"] not in repr(credential)

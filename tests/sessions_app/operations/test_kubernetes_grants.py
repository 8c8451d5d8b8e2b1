"""A grant on a cluster of Kubernetes, from the catalog's files to the receipt, by the operations alone."""

import json

import pytest
import yaml
from django.core.management import call_command

from broker.audit.models import AuditEntry
from broker.kernel.errors import InvalidInput, StintError
from sessions_app.connectors.kubernetes.objects import name_of
from sessions_app.models import EndReason, Grant, GrantState, Lease
from sessions_app.operations.catalog.publish_command_set import NotFitToPublish, key_of, publish_command_set
from sessions_app.operations.catalog.save_draft import save_draft
from sessions_app.operations.grants.delegate_grant import NotWithin, Part, delegate_grant
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.requests.check_request import check_request
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS
from tests.support.servers.kubernetes.cluster import Cluster, in_process
from tests.support.servers.kubernetes.server import ApiServer

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
EVERYWHERE = """\
name: look
kind: kubernetes
summary: See which pods there are
risk: medium
commands:
  - run: get pods -A
    effect: read
examples: {allow: ["get pods -A"], refuse: ["get secrets -A"]}
accept: {"whole_cluster commands[0].run": Pods show no secrets}
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
def cluster(processes, tmp_path) -> Cluster:
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
    world.catalog |= files
    return world


def started(kube) -> Grant:
    ask = {"cluster": "prod", "command_set": "scale-shop", "parameters": {"ns": "web"}}
    return prepare_grant(grant_id=kube.grant(**ask).pk, now=lambda: kube.now)


def test_a_grant_is_made_used_ended_and_proven(kube, cluster):
    grant = started(kube)
    assert grant.state == GrantState.ACTIVE
    # As the gateway gets one.
    token = cluster.token_of(ACCOUNTS, name_of(grant.mark))
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


def own(kube, files=()):
    """The cluster with its accounts of grants in namespace api, so that a set of good standing
    reaches them.
    """
    data = json.loads(json.dumps(yaml.safe_load(kube.catalog["clusters/prod.yaml"])))
    data["connection"]["accounts"] = "api"
    kube.apply({**kube.catalog, "clusters/prod.yaml": yaml.safe_dump(data), **dict(files)})
    return kube


def test_a_request_for_the_namespace_of_stints_accounts_is_refused(kube):
    world = own(kube)
    ask = {"cluster": "prod", "command_set": "scale-shop", "parameters": {"ns": "api"}}
    with pytest.raises(InvalidInput, match="Stint's own"):
        check_request(requester=world.alice, ask=world.ask(**ask), now=world.now)
    assert world.request(**{**ask, "parameters": {"ns": "web"}}).pk


def test_a_part_of_a_grant_on_every_namespace_never_reaches_stints_accounts(kube, cluster, capsys):
    world = own(
        kube,
        {
            "command-sets/look.yaml": EVERYWHERE,
            "command-sets/scale-shop.yaml": SET.replace(
                "  - run: scale deployment/shop -n {ns}\n    effect: change\n", ""
            ),
            "policies/kube.yaml": (
                POLICY.replace("[scale-shop]", "[look]")
                + "delegation: {depth: 1, to: {identities: [robot]}}\n"
            ),
        },
    )
    call_command("kubernetes_target_setup", "prod")
    cluster.apply(capsys.readouterr().out)
    asked = world.grant(cluster="prod", command_set="look", parameters={})
    grant = prepare_grant(grant_id=asked.pk, now=lambda: world.now)
    part = Part(identity="robot", command_set="scale-shop", parameters={"ns": "api"})
    with pytest.raises(NotWithin, match="Stint's own"):
        delegate_grant(grant_id=grant.pk, actor=world.alice, part=part, now=world.now)


@pytest.mark.parametrize(
    "line",
    ["get pods -n stint-system", "get secrets -n stint-grants", "create secrets -n web", "get secrets -A"],
)
def test_a_set_with_what_is_off_limits_is_not_published(kube, line):
    text = (
        SET.replace("get pods -n {ns}", line)
        .replace('["get pods -n web"]', "[]")
        .replace("effect: read", "effect: change")
        .replace("name: scale-shop", "name: off-limits")
    )
    with pytest.raises(StintError, match="Stint's own|service account tokens"):
        kube.apply({**kube.catalog, "command-sets/off-limits.yaml": text})
    version = save_draft(source=text, actor=kube.admin, now=kube.now)
    accepted = {key_of(finding): "I know" for finding in version.findings}
    with pytest.raises(NotFitToPublish):
        publish_command_set(version_id=version.pk, actor=kube.admin, accepted=accepted, now=kube.now)

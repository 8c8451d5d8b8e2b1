"""Access to a cluster: it begins with a binding, is used with a token of its own, and ends with proof."""

import contextlib
import dataclasses
import datetime as dt
import http.client
import json
import ssl
import time
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.kubernetes.objects import RBAC, name_of
from sessions_app.connectors.kubernetes.setup import ceiling, target_setup
from sessions_app.policy.commands.kinds import compile_open, compile_set, parse_text
from tests.sessions_app.connectors.kubernetes.conftest import SET, place_of
from tests.support.pace import allow
from tests.support.servers.kubernetes.cluster import eventually
from tests.support.servers.kubernetes.server import Fault
from tests.support.servers.kubernetes.tls import authority

WEB, API, OTHER = "stint-test-web", "stint-test-api", "stint-test-other"
PODS = f"/api/v1/namespaces/{WEB}/pods"


def test_a_holder_may_do_what_was_approved_and_nothing_else(ground):
    spec = ground.spec()
    token = ground.credential(spec, lease := ground.connector.provision(spec))
    assert eventually(lambda: ground.status(token, PODS) == 200)
    assert ground.status(token, f"/api/v1/namespaces/{WEB}/configmaps") == 200
    assert ground.status(token, "/api/v1/nodes") == 200
    for path in (
        f"/api/v1/namespaces/{API}/pods",
        "/api/v1/pods",
        f"/api/v1/namespaces/{WEB}/secrets",
        f"/apis/apps/v1/namespaces/{WEB}/deployments/other",
        f"{RBAC}/namespaces/{WEB}/roles",
    ):
        assert ground.status(token, path) == 403, path
    assert ground.connector.revoke(lease).gone


def test_what_approvers_left_out_is_not_made(ground):
    spec = ground.spec(keep={0})
    lease = ground.connector.provision(spec)
    token = ground.credential(spec, lease)
    assert eventually(lambda: ground.status(token, PODS) == 200)
    assert ground.status(token, f"/api/v1/namespaces/{WEB}/configmaps") == 403
    assert ground.connector.revoke(lease).gone


def test_access_stops_with_the_revoke_and_the_receipt_says_who_said_so(ground):
    spec = ground.spec()
    token = ground.credential(spec, lease := ground.connector.provision(spec))
    assert eventually(lambda: ground.status(token, PODS) == 200)
    evidence = ground.connector.revoke(lease)
    assert ground.status(token, PODS) in (401, 403)
    detail = evidence.detail
    assert evidence.gone
    assert detail["left"] == []
    assert set(detail["account_may"].values()) == {False}
    assert f"list pods in namespace {WEB}" in detail["account_may"]
    assert detail["token"].startswith("refused")
    assert f"rolebinding in {WEB}" in detail["removed"]
    assert "watches, exec" in detail["not_cut"][-1]
    assert dt.datetime.fromisoformat(detail["asked_at"]) <= dt.datetime.fromisoformat(detail["answered_at"])
    json.dumps(detail)
    assert token not in json.dumps(detail)


WATCHED = """\
name: watch-pods
kind: kubernetes
summary: Watch the pods of one namespace
risk: low
commands:
  - run: get pods -n stint-test-web -w
    effect: read
"""


UNCONTAINED = """\
name: reload-web
kind: kubernetes
summary: Reload the proxy of one pod
risk: high
commands:
  - run: exec web-1 -n stint-test-web -c app -- nginx -s reload
    effect: change
    contain: none
  - run: exec web-1 -n stint-test-web -c app -- nginx -s reopen
    effect: change
"""


def test_behind_the_gateway_the_receipt_names_only_what_was_not_contained(ground, cluster):
    cluster.apply(
        target_setup(ceiling([compile_open(parse_text(UNCONTAINED)), compile_open(parse_text(SET))]))
    )
    spec = ground.spec(place=place_of(cluster, direct=False))
    lease = ground.connector.provision(spec)
    assert ground.connector.revoke(lease).detail["not_cut"] == []
    spec = dataclasses.replace(spec, mark="a" * 32, commands=compile_set(parse_text(UNCONTAINED), {}))
    lease = ground.connector.provision(spec)
    (said,) = ground.connector.revoke(lease).detail["not_cut"]
    assert "nginx -s reload`, which were not contained" in said


def test_a_watch_outlives_the_revoke_which_is_why_the_receipt_says_so(ground, server, cluster):
    cluster.apply(target_setup(ceiling([compile_open(parse_text(WATCHED)), compile_open(parse_text(SET))])))
    spec = dataclasses.replace(ground.spec(), commands=compile_set(parse_text(WATCHED), {}))
    token = ground.credential(spec, lease := ground.connector.provision(spec))
    stream = http.client.HTTPSConnection(
        cluster.address,
        cluster.port,
        context=ssl.create_default_context(cadata=cluster.ca),
        timeout=allow(10),
    )
    stream.request("GET", f"{PODS}?watch=true", headers={"Authorization": f"Bearer {token}"})
    answer = stream.getresponse()
    evidence = ground.connector.revoke(lease)
    assert evidence.gone
    assert "watch pods" in evidence.detail["not_cut"]
    assert "watch pods" in ground.connector.revoke(lease).detail["not_cut"]
    assert ground.status(token, f"{PODS}?watch=true") in (401, 403)
    cluster.call("POST", PODS, {"metadata": {"name": f"late-{spec.mark[:8]}"}})
    assert b"late-" in answer.readline()
    stream.close()


def test_a_token_is_good_until_the_grants_end_and_never_asked_for_less_than_ten_minutes(ground):
    for minutes, least in ((60, 59), (1, 0)):
        spec = ground.spec(minutes=minutes)
        lease = ground.connector.provision(spec)
        credential = ground.connector.issue(spec, lease)
        left = (credential.expires_at - dt.datetime.now(dt.UTC)).total_seconds()
        assert least * 60 < left <= minutes * 60
        assert ground.connector.revoke(lease).gone


def test_a_new_credential_ends_the_one_before(ground):
    spec = ground.spec()
    lease = ground.connector.provision(spec)
    first = ground.credential(spec, lease)
    assert eventually(lambda: ground.status(first, PODS) == 200)
    second = ground.credential(spec, lease)
    assert eventually(lambda: ground.status(first, PODS) == 401, 12)
    assert eventually(lambda: ground.status(second, PODS) == 200)
    assert ground.connector.revoke(lease).gone


def test_a_credential_says_all_that_a_holder_needs(ground, cluster):
    spec = ground.spec()
    lease = ground.connector.provision(spec)
    credential = ground.connector.issue(spec, lease)
    fields = credential.fields
    assert fields["Server"] == f"https://{cluster.address}:{cluster.port}"
    assert (fields["Namespace"], fields["Certificate authority"]) == (WEB, cluster.ca.strip() + "\n")
    assert credential.secret == {"Token", "Kubeconfig"}
    assert fields["Token"] not in repr(credential)
    assert json.loads(fields["Kubeconfig"])["users"][0]["user"]["token"] == fields["Token"]
    asking = json.loads(fields["Kubeconfig with the plugin"])["users"][0]["user"]
    assert asking["exec"]["args"] == ["GR-7F3K", "prod-1"]
    assert fields["Token"] not in fields["Kubeconfig with the plugin"]
    assert ground.connector.revoke(lease).gone


def test_there_is_no_credential_for_a_grant_that_was_ended_meanwhile(ground, cluster):
    spec = ground.spec()
    lease = ground.connector.provision(spec)
    assert ground.connector.revoke(lease).gone
    with pytest.raises(ConnectorError, match="it is ending"):
        ground.connector.issue(spec, lease)
    assert ground.connector.verify(lease).gone


# What is answered and what is lost


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/serviceaccounts$"),
        ("POST", "/roles$"),
        ("POST", "/rolebindings$"),
        ("POST", "/clusterroles$"),
    ],
)
@pytest.mark.parametrize("how", ["before", "after"])
def test_a_dropped_connection_leaves_one_object(ground, server, method, path, how):
    server.faults.append(Fault(method, path, how))
    lease = ground.connector.provision(ground.spec())
    assert server.faults[0].times == 0
    seen = [one for one in ground.connector.observe(ground.place) if one.mark == lease.mark]
    assert [one.intact for one in seen] == [True]
    assert ground.connector.revoke(lease).gone


def test_connections_that_the_server_closed_are_replaced(ground, server):
    server.drop_idle = True
    lease = ground.connector.provision(ground.spec())
    time.sleep(0.05)
    assert ground.connector.revoke(lease).gone


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_an_error_that_may_pass(ground, server, status):
    lease = ground.connector.provision(ground.spec())
    server.faults.append(Fault("DELETE", "/serviceaccounts/", status))
    with pytest.raises(ConnectorError) as caught:
        ground.connector.revoke(lease)
    assert not caught.value.permanent
    assert ground.connector.revoke(lease).gone


def test_a_binding_that_can_not_be_removed_does_not_keep_the_account(ground, server, cluster):
    lease = ground.connector.provision(ground.spec(keep={0}))
    server.faults.append(Fault("DELETE", "/rolebindings/", 500, times=2))
    with pytest.raises(ConnectorError, match="500"):
        ground.connector.revoke(lease)
    path = f"/api/v1/namespaces/stint-grants/serviceaccounts/{name_of(lease.mark)}"
    assert cluster.call("GET", path)[0] == 404
    assert ground.connector.revoke(lease).gone


@pytest.mark.parametrize("call", range(1, 6))
def test_a_provisioner_that_dies_at_any_call_leaves_nothing_that_a_revoke_does_not_find(ground, server, call):
    spec, calls = ground.spec(), []

    def die(method, path):
        calls.append(path)
        if len(calls) == call:
            server.faults.append(Fault(method, ".", 503))

    server.before = die
    with pytest.raises(ConnectorError):
        ground.connector.provision(spec)
    server.before = None
    assert ground.connector.revoke(ground.forgotten(spec)).gone
    assert spec.mark not in {one.mark for one in ground.connector.observe(ground.place)}


@pytest.mark.parametrize("forgotten", [False, True], ids=["known", "forgotten"])
@pytest.mark.parametrize("call", range(1, 12))
def test_a_revoke_that_dies_at_any_call_is_finished_by_the_next(ground, server, call, forgotten):
    spec, calls = ground.spec(keep={0}), []
    lease = ground.connector.provision(spec)

    def die(method, path):
        calls.append(path)
        if len(calls) == call:
            server.faults.append(Fault(method, ".", 503))

    server.before = die
    lease = ground.forgotten(spec) if forgotten else lease
    with contextlib.suppress(ConnectorError):
        assert not ground.connector.revoke(lease).gone
    server.before = None
    assert ground.connector.revoke(lease).gone
    assert spec.mark not in {one.mark for one in ground.connector.observe(ground.place)}


def test_the_binding_goes_first_and_the_account_before_it_is_asked_about_the_token(ground, server):
    lease = ground.connector.provision(ground.spec(keep={0}))
    with server.counted() as calls:
        assert ground.connector.revoke(lease).gone
    done = [
        (call.method, urlsplit(call.path).path.rsplit("/", 2)[-2 if call.method == "DELETE" else -1])
        for call in calls
    ]
    assert done == [
        ("DELETE", "rolebindings"),
        ("POST", "subjectaccessreviews"),
        ("POST", "token"),
        ("DELETE", "serviceaccounts"),
        ("DELETE", "roles"),
        ("GET", "rolebindings"),
        ("GET", "clusterrolebindings"),
        ("GET", "roles"),
        ("GET", "clusterroles"),
        ("GET", name_of(lease.mark)),
        ("POST", "tokenreviews"),
    ]


def test_a_revoke_while_it_is_being_made_and_the_one_after_leave_nothing(ground, server):
    """The operation that made it finds that it was ended, and unmakes: whatever came between is gone."""
    spec, met = ground.spec(), []

    def revoke(method, path):
        if method == "POST" and path.endswith("/rolebindings") and not met:
            met.append(path)
            ground.connector.revoke(ground.forgotten(spec))

    server.before = revoke
    with pytest.raises(ConnectorError):  # the role that it binds is gone
        ground.connector.provision(spec)
    server.before = None
    assert met
    assert ground.connector.revoke(ground.forgotten(spec)).gone


# What Stint may do, and may not


def test_a_right_that_stint_lost_is_named_and_so_is_what_gives_it(ground, server, cluster):
    spec = ground.spec()
    lease = ground.connector.provision(spec)
    path = f"{RBAC}/clusterrolebindings/stint-look"
    _, binding = cluster.call("GET", path)
    cluster.call("DELETE", path)
    with pytest.raises(ConnectorError) as caught:
        ground.connector.revoke(lease)
    assert caught.value.permanent
    assert "subjectaccessreviews" in caught.value.message or "rolebindings" in caught.value.message
    assert "kubernetes_target_setup" in caught.value.message
    del binding["metadata"]["resourceVersion"]
    cluster.call("POST", f"{RBAC}/clusterrolebindings", {**binding, "metadata": {"name": "stint-look"}})
    assert eventually(lambda: ground.connector.revoke(lease).gone)


def test_stint_can_not_give_more_than_its_ceiling(ground, cluster):
    more = SET.replace("get pods", "get secrets")
    spec = ground.spec()
    commands = compile_set(parse_text(more), {"ns": WEB, "name": "shop"})
    beyond = dataclasses.replace(spec, commands=commands)
    with pytest.raises(ConnectorError, match="not currently held") as caught:
        ground.connector.provision(beyond)
    assert caught.value.permanent
    assert ground.connector.revoke(ground.forgotten(beyond)).gone


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("workflows, groups: [argoproj.io]", "cluster: true"),
        ("rolebindings, groups: [authorization.openshift.io]", f"namespaces: [{WEB}]"),
        ("mutatingwebhookconfigurations, groups: [admissionregistration.k8s.io]", "cluster: true"),
    ],
)
def test_what_no_grant_may_hold_is_not_made_whatever_was_published(ground, what, where):
    resource, _, groups = what.partition(", ")
    rule = f"  - rule: {{verbs: [create], resources: [{resource}], {groups}, {where}}}\n    effect: change\n"
    text = f"name: beyond\nkind: kubernetes\nsummary: Beyond\nrisk: high\ncommands:\n{rule}"
    beyond = dataclasses.replace(ground.spec(), commands=compile_set(parse_text(text), {}))
    with pytest.raises(ConnectorError, match="no grant may include") as caught:
        ground.connector.provision(beyond)
    assert caught.value.permanent


def test_a_place_that_is_limited_to_namespaces_gives_nothing_beyond(ground, cluster):
    limited = place_of(cluster, namespaces=(API,))
    with pytest.raises(ConnectorError, match=WEB) as caught:
        ground.connector.provision(ground.spec(keep={0}, place=limited))
    assert caught.value.permanent
    with pytest.raises(ConnectorError, match="the whole cluster"):
        ground.connector.provision(ground.spec(keep={3}, place=limited))


def test_a_namespace_that_is_not_there_is_named(cluster, connector, ground):
    cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "stint-test-brief"}})
    text = SET.replace("stint-test-api", "stint-test-brief")
    cluster.apply(target_setup(ceiling([compile_open(parse_text(text))])))
    cluster.call("DELETE", "/api/v1/namespaces/stint-test-brief")
    spec = ground.spec()
    commands = compile_set(parse_text(text), {"ns": "stint-test-brief", "name": "shop"})
    lost = dataclasses.replace(spec, commands=commands)

    def refused() -> bool:
        with pytest.raises(ConnectorError, match="stint-test-brief") as caught:
            connector.provision(lost)
        return caught.value.permanent

    assert eventually(refused)
    assert connector.revoke(ground.forgotten(lost)).gone


def test_a_token_that_is_refused_is_an_error_for_a_person(ground, cluster):
    wrong = place_of(cluster, token=SecretStr("stint-canary-7d1"))
    with pytest.raises(ConnectorError, match="401") as caught:
        ground.connector.observe(wrong)
    assert caught.value.permanent
    assert "canary" not in caught.value.message
    assert "canary" not in repr(wrong)


def test_a_server_of_another_authority_gets_no_token(ground, cluster, tmp_path):
    other, _ = authority(tmp_path, "someone-else")
    with pytest.raises(ConnectorError, match="TLS verification: unable to get local issuer") as caught:
        ground.connector.observe(place_of(cluster, ca=other))
    assert caught.value.permanent
    with pytest.raises(ConnectorError, match="TLS verification: Hostname mismatch"):
        ground.connector.observe(place_of(cluster, server_name="kubernetes.elsewhere"))


def test_a_server_may_have_another_name_than_its_address(ground, cluster, server):
    assert ground.connector.check(place_of(cluster, server_name="kubernetes.test"))[0].ok


def test_a_token_that_is_still_remembered_is_waited_for(ground, server, monkeypatch):
    """As when it was used in the moment of the revoke."""
    # Longer than the calls from the deletion of the account to the question about its token.
    monkeypatch.setattr(server.store, "cache_seconds", min(allow(1), 6))
    lease = ground.connector.provision(ground.spec(keep={0}))

    def use_all(method, path):
        if method == "DELETE" and "/serviceaccounts/" in path:
            for token in list(server.store.tokens):
                server.store.user_of(token)

    server.before = use_all
    evidence = ground.connector.revoke(lease)
    assert evidence.gone
    assert float(evidence.detail["token"].split()[1]) >= 0.9


@pytest.mark.parametrize("values", [{"ns": "stint-system"}, {"ns": "stint-grants"}])
def test_rights_in_stints_own_namespaces_are_never_made(ground, values):
    spec = ground.spec()
    text = SET.replace("[stint-test-web, stint-test-api]", "[stint-system, stint-grants]")
    bound = {"name": "shop", **values}
    with pytest.raises(ConnectorError, match="Stint's own") as caught:
        ground.connector.provision(dataclasses.replace(spec, commands=compile_set(parse_text(text), bound)))
    assert caught.value.permanent


def test_rights_where_a_cluster_keeps_the_accounts_of_grants_are_never_made(ground):
    elsewhere = dataclasses.replace(
        ground.place, parameters=ground.place.parameters.model_copy(update={"accounts": "stint-test-web"})
    )
    with pytest.raises(ConnectorError, match="Stint's own"):
        ground.connector.provision(ground.spec(place=elsewhere))

"""What a holder does with kubectl, request by request."""

import contextlib
import json
import socket

import pytest
from django.conf import settings

from broker.audit.models import AuditEntry
from broker.kernel import clock
from sessions_app.models import Cluster
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.revoke_http_token import revoke_http_token
from sessions_app.queries.grants.receipts import receipt
from tests.support.servers.kubernetes.server import Fault
from tests.support.waits import eventually
from tests.support.world.acts import revoke

WEB = "/apis/apps/v1/namespaces/shop/deployments/web"
SCALE = f"{WEB}/scale"
MERGE = "application/merge-patch+json"


def lines(grant) -> list[tuple[str, str]]:
    """Return the lines and states of a grant's runs that are not polls, in order."""
    runs = grant.runs.filter(count__isnull=True).order_by("pk")
    return list(runs.values_list("line", "state"))


def replicas(place) -> int:
    return place.cluster.call("GET", "/apis/apps/v1/namespaces/shop/deployments/web")[1]["spec"]["replicas"]


def test_kubectl_scales_what_the_grant_says_and_it_is_one_run_in_the_record(place):
    grant = place.grant()
    done = place.run(grant, "scale", "deployment/web", "--replicas=3")
    assert done.returncode == 0, done.stderr
    assert replicas(place) == 3
    eventually(lambda: lines(grant) == [("scale deployment/web -n shop --replicas 3", "done")])


def test_kubectl_prints_a_refusal_with_the_nearest_line(place):
    grant = place.grant()
    before = replicas(place)
    done = place.run(grant, "scale", "deployment/web", "--replicas=9")
    assert done.returncode == 1
    said = done.stderr.decode()
    assert said.startswith("Error from server (Forbidden): ")
    assert "Nearest: scale deployment/web -n shop --replicas {n}" in said
    assert replicas(place) == before
    assert [state for _, state in lines(grant)] == ["refused"]


def test_what_kubectl_asks_beside_a_line_is_counted_and_no_run_of_its_own(place):
    grant = place.grant()
    for number in (2, 4):
        assert place.run(grant, "scale", "deployment/web", f"--replicas={number}").returncode == 0
    line = "scale deployment/web -n shop --replicas"
    assert [line for line, _ in lines(grant)] == [f"{line} 2", f"{line} 4"]
    beside = grant.runs.filter(line="get deployment/web -n shop").exclude(count=None)
    # The first is recorded at once, and its repeats a moment later.
    eventually(lambda: [run.count.times for run in beside.order_by("pk")] == [1, 1], within=20)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Impersonate-User": "system:admin"}, "impersonates another user"),
        ({"impersonate-group": "system:masters"}, "impersonates another user"),
        ({"X-Remote-User": "admin"}, "impersonates another user"),
        ({"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"}, "Only upgrades to WebSocket"),
        ({"Upgrade": "SPDY/3.1", "Connection": "Upgrade"}, "needs kubectl 1.31 or later"),
    ],
)
def test_nobody_acts_as_somebody_else_or_leaves_the_protocol(place, headers, says):
    grant = place.grant()
    status, said = place.ask(grant, "GET", "/api/v1/namespaces/shop/pods", **headers)
    assert status in (400, 403)
    assert says in said["message"]


def test_a_body_that_can_not_be_read_is_refused_before_it_is_sent(place):
    grant, before = place.grant(), len(place.cluster.calls)

    def patch(data: bytes, kind: str = MERGE) -> tuple[int, str]:
        status, said = place.ask(grant, "PATCH", SCALE, data, kind=kind)
        return status, said["message"]

    assert patch(b"k8s\0...", "application/vnd.kubernetes.protobuf")[0] == 415
    assert patch(b'{"spec":{"replicas":3,"replicas":9}}') == (
        400,
        "The body can't be read: a key is repeated.",
    )
    assert patch(b"not JSON")[0] == 400
    for number in (b"NaN", b"1e400", b"-1e400"):
        assert patch(b'{"spec":{"replicas":%b}}' % number)[0] == 400
    assert patch(b" " * (3 * 1024 * 1024 + 1))[0] == 413
    assert not [call for call in place.cluster.calls[before:] if call.method == "PATCH"]
    # After protobuf is refused, a client sends JSON. The refusal is not the holder's attempt.
    assert lines(grant) == [(f"PATCH {SCALE}", "refused")] * 6


def test_only_a_token_of_a_grant_on_this_cluster_opens_the_gateway(place):
    grant = place.grant()
    for token, code in (("", 401), ("sgt_" + "a" * 43, 401), (place.cluster.token, 401)):
        status, said = place.ask(grant, "GET", "/api", Authorization=f"Bearer {token}")
        assert (status, said["kind"]) == (code, "Status")
    revoke(grant)
    status, said = place.ask(grant, "GET", "/api")
    assert status == 403
    assert grant.ref in said["message"]


def test_each_run_has_the_address_of_its_own_client(place, client):
    grant, sources = place.grant(), ["127.0.0.7", "127.0.0.8"]
    for source in sources:
        for replicas in (3, 9):
            place.ask(grant, "PATCH", SCALE, {"spec": {"replicas": replicas}}, kind=MERGE, source=source)
        assert place.ask(grant, "GET", WEB, source=source)[0] == 200
    runs = grant.runs.order_by("pk")
    asked = runs.filter(count__isnull=True)
    eventually(lambda: list(asked.values_list("state", flat=True)) == ["done", "refused"] * 2)
    assert list(asked.values_list("client_address", flat=True)) == [sources[0]] * 2 + [sources[1]] * 2
    assert list(runs.filter(count__isnull=False).values_list("client_address", flat=True)) == sources
    entries = AuditEntry.objects.filter(object_ref=grant.ref, event__startswith="command.").order_by("seq")
    said = [json.loads(one.body)["data"].get("from", "") for one in entries]
    assert sorted(filter(None, said)) == [sources[0]] * 3 + [sources[1]] * 3
    made = receipt(grant, clock.now())
    for part in ("run", "refused"):
        assert {one["client_address"] for one in made[part]} == set(sources)
    client.force_login(grant.holder, backend="accounts.backends.PasswordBackend")
    page = client.get(f"/grants/{grant.ref}/").content.decode()
    assert all(f"from {source}" in page for source in sources)


def test_the_cluster_itself_takes_no_token_of_the_gateway(place):
    grant = place.grant()
    assert place.cluster.as_holder("GET", "/api/v1/namespaces/shop/pods", place.token(grant)) == 401


def test_every_kubectl_of_a_grant_gets_the_same_token_until_it_is_revoked(place):
    grant = place.grant()
    first = issue_credential(grant_id=grant.pk, actor=grant.holder, target=None, now=clock.now())
    again = issue_credential(grant_id=grant.pk, actor=grant.holder, target=None, now=clock.now())
    assert first.fields["Token"] == again.fields["Token"]
    revoke_http_token(text=first.fields["Token"], now=clock.now())
    other = issue_credential(grant_id=grant.pk, actor=grant.holder, target=None, now=clock.now())
    assert other.fields["Token"] != first.fields["Token"]
    assert place.ask(grant, "GET", "/api", Authorization=f"Bearer {first.fields['Token']}")[0] == 403
    assert place.ask(grant, "GET", "/api", Authorization=f"Bearer {other.fields['Token']}")[0] == 200


def test_the_kubeconfig_has_no_secret_and_leads_to_the_gateway(place):
    grant = place.grant()
    made = issue_credential(grant_id=grant.pk, actor=grant.holder, target=None, now=clock.now())
    config = json.loads(made.fields["Kubeconfig"])
    assert config["clusters"][0]["cluster"]["server"] == f"{settings.GATEWAY_PUBLIC_URL}/kubernetes/prod"
    assert list(config["users"][0]["user"]) == ["exec"]
    assert made.fields["Token"] not in made.fields["Kubeconfig"]
    assert made.secret == {"Token"}


def test_a_cluster_that_holders_reach_directly_is_not_behind_the_gateway(place):
    grant = place.grant()
    assert place.ask(grant, "GET", "/api")[0] == 200
    cluster = grant.cluster
    Cluster.objects.filter(pk=cluster.pk).update(connection={**cluster.connection, "direct": True})
    try:
        assert place.ask(grant, "GET", "/api")[0] == 403
    finally:
        Cluster.objects.filter(pk=cluster.pk).update(connection=cluster.connection)
    assert place.ask(grant, "GET", "/api")[0] == 200


def revision(place, number: int, image: str, *, of: str = "web") -> None:
    """Create a revision of the deployment, like its controller does."""
    apps = "/apis/apps/v1/namespaces/shop"
    _, deployment = place.cluster.call("GET", f"{apps}/deployments/{of}")
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": of,
        "uid": deployment["metadata"]["uid"],
        "controller": True,
    }
    labels = {"app": "web", "pod-template-hash": f"h{number}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    meta = {
        "name": f"{of}-{number}",
        "labels": labels,
        "ownerReferences": [owner],
        "annotations": {"deployment.kubernetes.io/revision": str(number)},
    }
    made = {"metadata": meta, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    place.cluster.call("POST", f"{apps}/replicasets", made)


def image(place) -> str:
    _, found = place.cluster.call("GET", WEB)
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


def test_kubectl_puts_a_revision_of_the_deployment_back_and_nobody_another_template(place):
    revision(place, 1, "shop/web:1.2")
    revision(place, 2, "shop/web:1.3")
    grant = place.grant(command_set="release-shop", parameters={"image": "shop/web:1.4"})
    forged = json.dumps(
        [
            {
                "op": "replace",
                "path": "/spec/template",
                "value": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "app", "image": "evil"}]},
                },
            },
            {"op": "replace", "path": "/metadata/annotations", "value": {}},
        ]
    )
    refused = place.run(grant, "patch", "deployment/web", "--type=json", "-p", forged)
    assert b"no revision of the target has" in refused.stderr
    done = place.run(grant, "rollout", "undo", "deployment/web", "--to-revision=1")
    assert done.returncode == 0, done.stderr
    assert image(place) == "shop/web:1.2"
    eventually(lambda: ("rollout undo deployment/web -n shop --to-revision 1", "done") in lines(grant))


@pytest.mark.parametrize("path", ["pods", "pods/web-1/exec", "pods/web-1/portforward?ports=%C2%B2"])
def test_what_no_kubectl_of_today_sends_is_a_refusal_in_the_record(place, path):
    grant, target = place.grant(), f"/api/v1/namespaces/shop/{path}"
    status, said = place.ask(grant, "GET", target, Upgrade="SPDY/3.1", Connection="Upgrade")
    assert (status, "needs kubectl 1.31 or later" in said["message"]) == (403, True)
    assert lines(grant) == [(f"GET {target}", "refused")]


def test_a_request_whose_connection_breaks_off_is_not_sent_again_and_may_have_been_carried_out(place):
    grant, pods = place.grant(), "/api/v1/namespaces/shop/pods"
    place.server.faults.append(Fault("GET", f"{pods}$", "after"))
    with place.server.counted() as calls:
        code, said = place.ask(grant, "GET", pods)
    assert code == 503
    assert "closed the connection" in said["message"]
    assert "check before you send it again" in said["message"]
    assert [call.path for call in calls if call.path == pods] == [pods]


@pytest.mark.parametrize(
    ("version", "key", "status"), [("13", "short", 400), ("8", "dGhlIHNhbXBsZSBub25jZQ==", 426)]
)
def test_a_websocket_that_no_client_can_open_is_not_opened_at_the_cluster(place, version, key, status):
    grant = place.grant()
    head = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": version,
        "Sec-WebSocket-Key": key,
    }
    with place.server.counted() as calls:
        code, said = place.ask(
            grant, "GET", "/api/v1/namespaces/shop/pods/web-1/attach?container=app&stdout=true", **head
        )
    assert (code, said["code"]) == (status, status)
    assert not [call for call in calls if "attach" in call.path]
    assert lines(grant) == []


@contextlib.contextmanager
def announced(place, grant):
    """Yield the status of the response to the head of a request whose body of 3 MiB is still to be sent."""
    head = (
        f"PATCH /kubernetes/prod{SCALE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer"
        f" {place.token(grant)}\r\nContent-Type: {MERGE}\r\nContent-Length: {3 * 1024 * 1024}\r\nExpect:"
        " 100-continue\r\n\r\n"
    )
    with (
        socket.create_connection(("localhost", place.port)) as line,
        place.context.wrap_socket(line, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(head.encode())
        yield int(wrapped.recv(1000).split()[1])


def test_bodies_of_one_grant_are_kept_only_within_its_room(place):
    grant, other = (
        place.grant(),
        place.grant(command_set="release-shop", parameters={"image": "shop/web:1.4"}),
    )
    with contextlib.ExitStack() as stack:
        assert [stack.enter_context(announced(place, grant)) for _ in range(11)] == [100] * 10 + [503]
        assert stack.enter_context(announced(place, other)) == 100
        assert place.ask(grant, "PATCH", SCALE, {"spec": {"replicas": 3}}, kind=MERGE)[0] == 200

    def fits() -> bool:
        with announced(place, grant) as status:
            return status == 100

    eventually(fits)

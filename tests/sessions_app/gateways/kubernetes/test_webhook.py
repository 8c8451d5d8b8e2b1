"""The webhook for API servers: accounts of grants may do what was approved, as long as the grant
can be used.
"""

import contextlib
import io
import json
import tempfile
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from broker.audit.models import AuditEntry
from broker.kernel import clock
from sessions_app.connectors.kubernetes.objects import group_of, name_of, user_of
from sessions_app.gateways.kubernetes.webhook import AuthorizationWebhook
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS
from tests.conftest import fresh_database
from tests.sessions_app.operations.test_kubernetes_grants import POLICY, SET, cluster, kube, started  # noqa: F401
from tests.support.browser.site import serve_and_kill
from tests.support.servers.kubernetes.cluster import in_process
from tests.support.servers.kubernetes.rbac import Attributes, User
from tests.support.servers.kubernetes.server import ApiServer
from tests.support.servers.kubernetes.webhook import Webhook, review
from tests.support.world.acts import last, revoke
from tests.support.world.world import make_world

KEY = "w" * 40
OPEN_PODS = """\
name: look-at-nodes
kind: kubernetes
summary: See the nodes
risk: low
commands:
  - run: get nodes
    effect: read
examples: {allow: ["get nodes"], refuse: ["get pods -A"]}
"""


def reached_directly(world, *, key=KEY, **changes):
    """Make the world's cluster one that is reached directly, with a key for its API server."""
    data = yaml.safe_load(world.catalog["clusters/prod.yaml"])
    data["connection"] |= {"direct": True, "webhook_key": key, **changes}
    files = {"clusters/prod.yaml": yaml.safe_dump(data)}
    world.apply(files)
    world.catalog |= files
    return world


@pytest.fixture
def site(kube):  # noqa: F811
    return reached_directly(kube)


@pytest.fixture
def grant(site):
    return started(site)


@pytest.fixture
def send(site):
    """Send a body to the webhook; return the HTTP status, the headers and the answer."""

    def inner(environ, start):
        start("404 Not Found", [])
        return [b"{}"]

    def send(body, *, path="/authz/kubernetes", method="POST", **headers):
        said = {}

        def start(status, sent, exc_info=None):
            said.update(status=int(status[:3]), headers=dict(sent))

        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        environ = {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "QUERY_STRING": "timeout=30s",
            "REMOTE_ADDR": "10.0.0.1",
            "CONTENT_TYPE": "application/json",
            "wsgi.input": io.BytesIO(data),
            "HTTP_AUTHORIZATION": f"Bearer {KEY}",
            **headers,
        }
        answer = json.loads(b"".join(AuthorizationWebhook(inner)(environ, start)))
        return said["status"], said["headers"], answer

    return send


@pytest.fixture
def ask(send):
    """Request a review of one request of a user; return the status in the answer."""

    def ask(user, verb="list", resource="pods", namespace="web", **more):
        resource, _, sub = resource.partition("/")
        sent = review(user, Attributes(verb, resource=resource, subresource=sub, namespace=namespace, **more))
        code, _, answer = send(sent)
        assert code == 200
        assert {**answer, "status": 0} == {**sent, "status": 0}
        return answer["status"]

    return ask


def account(grant, *groups):
    known = ("system:serviceaccounts", group_of(ACCOUNTS), "system:authenticated")
    return User(user_of(ACCOUNTS, grant.mark), groups or known)


def of_path(grant, path, verb="get"):
    user = account(grant)
    spec = {
        "nonResourceAttributes": {"path": path, "verb": verb},
        "user": user.name,
        "groups": list(user.groups),
    }
    return {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec}


def test_the_account_of_a_grant_may_do_what_its_commands_send(ask, grant):
    assert ask(account(grant)) == {"allowed": True}
    assert ask(account(grant), "patch", "deployments/scale", name="shop", group="apps") == {"allowed": True}


def test_a_denial_says_what_is_missing_the_nearest_line_and_where_to_ask(ask, grant, site):
    said = ask(account(grant), "list", "secrets")
    assert (said["allowed"], said["denied"]) == (False, True)
    assert said["reason"].startswith(
        f"{grant.ref}: nothing here allows you to list secrets in namespace web. Nearest: "
    )
    assert "get pods -n web" in said["reason"]
    policy = POLICY.replace("name: kube-work", "name: nodes").replace("scale-shop", "look-at-nodes")
    site.apply({**site.catalog, "command-sets/look-at-nodes.yaml": OPEN_PODS, "policies/nodes.yaml": policy})
    reason = ask(account(grant), "list", "nodes", namespace="")["reason"]
    assert "Request it: http" in reason
    assert "/requests/new/?cluster=prod&command_set=look-at-nodes&policy=nodes" in reason


def test_about_users_that_are_not_stints_there_is_no_opinion(ask, grant):
    others = (
        "alice",
        "system:admin",
        "",
        "system:serviceaccount:stint-system:stint",
        f"system:serviceaccount:web:{name_of(grant.mark)}",
        user_of(ACCOUNTS, "f" * 31),
        f"{user_of(ACCOUNTS, grant.mark)}x",
        user_of(ACCOUNTS, "0" * 32),
    )
    for name in others:
        assert ask(User(name, ("system:authenticated",))) == {"allowed": False}, name
    assert AuditEntry.objects.filter(event="command.refused").count() == 0


def test_every_account_may_ask_what_it_may_do_and_who_it_is(ask, grant):
    for resource, group in (
        ("selfsubjectaccessreviews", "authorization.k8s.io"),
        ("selfsubjectrulesreviews", "authorization.k8s.io"),
        ("selfsubjectreviews", "authentication.k8s.io"),
    ):
        assert ask(account(grant), "create", resource, namespace="", group=group) == {"allowed": True}
        assert ask(account(grant), "create", resource, namespace="")["denied"] is True
        assert ask(account(grant), "delete", resource, namespace="", group=group)["denied"] is True
    others = ask(account(grant), "create", "subjectaccessreviews", namespace="", group="authorization.k8s.io")
    assert others["denied"] is True


def test_a_cluster_with_the_same_key_does_not_hide_the_one_that_a_grant_is_for(ask, grant, site):
    data = yaml.safe_load(site.catalog["clusters/prod.yaml"]) | {"name": "early"}
    data["targets"] = [{"name": "early-1", "address": "127.0.0.1", "port": 1}]
    site.apply({**site.catalog, "clusters/early.yaml": yaml.safe_dump(data)})
    assert ask(account(grant)) == {"allowed": True}
    revoke(grant)
    reason = ask(account(grant))["reason"]
    assert "can't be used on this cluster: the grant is revoking. Request new access: http" in reason
    assert "cluster=prod&" in reason
    assert last("command.refused", grant.ref).data["target"] == "prod"


def lookups(ask, user, resources) -> int:
    """Return for how many of the reviews all command sets were searched."""
    found = 0
    for resource in resources:
        with CaptureQueriesContext(connection) as queries:
            ask(user, "list", resource)
        found += any(
            "sessions_app_commandsetversion" in one["sql"] and "published_at" in one["sql"] for one in queries
        )
    return found


def test_where_to_ask_is_looked_for_once_a_minute_and_not_for_everything_that_a_loop_asks(ask, grant):
    assert lookups(ask, account(grant), ["secrets"] * 5) == 1
    assert lookups(ask, account(grant), [f"things{number}" for number in range(40)]) == 19


def test_an_account_with_the_mark_of_this_installation_and_no_grant_is_denied(ask, grant):
    unknown = grant.mark[:8] + "0" * 24
    assert ask(User(user_of(ACCOUNTS, unknown), (group_of(ACCOUNTS),)))["denied"] is True


def test_about_who_only_has_the_name_of_an_account_there_is_no_opinion_and_no_entry(ask, grant):
    dead = grant.mark[:8] + "0" * 24
    for groups in ((), ("system:authenticated",), ("system:serviceaccounts", group_of("web"))):
        for mark in (grant.mark, dead):
            said = ask(User(user_of(ACCOUNTS, mark), groups), "delete", "secrets")
            assert said == {"allowed": False}, (groups, mark)
    revoke(grant)
    assert ask(User(user_of(ACCOUNTS, grant.mark))) == {"allowed": False}
    assert AuditEntry.objects.filter(event="command.refused").count() == 0


def test_an_ended_grant_is_denied_at_once(ask, grant):
    assert ask(account(grant)) == {"allowed": True}
    revoke(grant)
    said = ask(account(grant))
    assert (said["allowed"], said["denied"]) == (False, True)
    start = f"{grant.ref} can't be used on this cluster: the grant is revoking. Request new access: http"
    assert said["reason"].startswith(start)
    assert said["reason"].endswith("/requests/new/?cluster=prod&command_set=scale-shop&policy=kube-work")
    over = ask(account(grant), "delete", "nodes", namespace="")["reason"]
    assert over == f"{grant.ref} can't be used on this cluster: the grant is revoking. Request new access."


def test_what_a_cluster_can_do_is_open_and_no_other_path_is(send, grant):
    assert send(of_path(grant, "/apis"))[2]["status"] == {"allowed": True}
    said = send(of_path(grant, "/metrics"))[2]["status"]
    assert (said["denied"], said["reason"]) == (
        True,
        f"{grant.ref}: nothing here allows you to get /metrics.",
    )


def test_who_asks_must_have_the_key_of_a_cluster(send, grant):
    body = review(account(grant), Attributes("list", resource="pods", namespace="web"))
    for said in ("", "Bearer short", f"Basic {KEY}", f"Bearer {KEY} x", f"Bearer {'x' * 40}"):
        code, headers, answer = send(body, HTTP_AUTHORIZATION=said)
        assert code == 401
        assert headers["www-authenticate"]
        assert "status" not in answer


GOOD = review(User("alice"), Attributes("list", resource="pods"))
SPEC = GOOD["spec"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "send a SubjectAccessReview"),
        (b'{"kind": 1, "kind": 2}', "repeats a key"),
        ({**GOOD, "kind": "TokenReview"}, "send a SubjectAccessReview"),
        ({**GOOD, "apiVersion": "authorization.k8s.io/v1beta1"}, "--authorization-webhook-version=v1"),
        ({**GOOD, "spec": None}, "spec must be an object"),
        ({**GOOD, "spec": {"user": "alice"}}, "resourceAttributes or nonResourceAttributes"),
        ({**GOOD, "spec": {**SPEC, "nonResourceAttributes": {"path": "/", "verb": "get"}}}, "but not both"),
        ({**GOOD, "spec": {**SPEC, "user": 7}}, "user must be a string"),
        ({**GOOD, "spec": {**SPEC, "groups": "system:masters"}}, "spec.groups must be a list of strings"),
        ({**GOOD, "spec": {**SPEC, "resourceAttributes": {"verb": "get"}}}, "a verb and a resource"),
        (
            {**GOOD, "spec": {**SPEC, "resourceAttributes": {"verb": ["get"], "resource": "pods"}}},
            "verb must be a string",
        ),
        ({**GOOD, "spec": {"user": "a", "nonResourceAttributes": {"path": "/"}}}, "a verb and a path"),
        (b" " * 1_100_000, "larger than"),
    ],
)
def test_a_body_that_is_no_review_is_refused_with_what_to_change(send, body, says):
    code, _, answer = send(body)
    assert code == 400
    assert says in answer["error"]


class TestWithoutItsDatabase:
    """No answer is given that an API server could take for a decision."""

    @pytest.fixture
    def world(self, live_world):
        return live_world

    def test_the_answer_is_a_failure(self, send, ask, grant):
        assert ask(account(grant)) == {"allowed": True}
        known = {name: connection.settings_dict[name] for name in ("HOST", "PORT")}
        connection.settings_dict.update(HOST="127.0.0.1", PORT="1")
        connection.close()
        try:
            code, headers, answer = send(
                review(account(grant), Attributes("list", resource="pods", namespace="web"))
            )
        finally:
            connection.settings_dict.update(known)
            connection.close()
        assert (code, headers["retry-after"]) == (503, "1")
        assert "status" not in answer
        assert ask(account(grant)) == {"allowed": True}


@pytest.fixture
def scene(processes, django_db_setup, django_db_blocker):
    """An API server that queries Stint's web process before RBAC, over HTTP."""
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(django_db_blocker))
        clock.sync()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stint-webhook-")))
        server = stack.enter_context(ApiServer(folder, cache_seconds=0.2))
        web, kill = stack.enter_context(serve_and_kill(database.env, folder))
        world = _set_up(make_world(clock.now()), in_process(server))
        server.store.webhook = Webhook(f"{web}/authz/kubernetes", KEY)
        yield world, in_process(server), kill


def test_it_decides_says_why_and_is_never_taken_for_a_yes(scene):
    world, cluster, kill = scene  # noqa: F811
    grant = started(world)
    token = cluster.token_of(ACCOUNTS, name_of(grant.mark))
    assert cluster.call("GET", "/api/v1/namespaces/web/pods", token=token)[0] == 200
    status, said = cluster.call("GET", "/api/v1/namespaces/web/secrets", token=token)
    assert status == 403
    assert (
        f"{grant.ref}: nothing here allows you to list secrets in namespace web. Nearest:" in said["message"]
    )
    revoke(grant)
    status, said = cluster.call("GET", "/api/v1/namespaces/web/pods", token=token)
    assert (status, "the grant is revoking" in said["message"]) == (403, True)
    other = started(world)
    kept = cluster.token_of(ACCOUNTS, name_of(other.mark))
    assert cluster.call("GET", "/api/v1/namespaces/web/pods", token=kept)[0] == 200
    kill()
    status, said = cluster.call("GET", "/api/v1/namespaces/web/pods", token=kept)
    assert (status, "webhook failed" in said["message"]) == (403, True)


def _set_up(world, cluster):  # noqa: F811
    for name in ("web", "api"):
        cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    world.apply(files := {"command-sets/scale-shop.yaml": SET})
    printed = io.StringIO()
    call_command("kubernetes_target_setup", "prod", "--command-set", "scale-shop", stdout=printed)
    cluster.apply(printed.getvalue())
    token = cluster.token_of("stint-system", "stint")
    known = {"ca": cluster.ca, "token": token, "direct": True, "webhook_key": KEY}
    head = {
        "name": "prod",
        "kind": "kubernetes",
        "summary": "One",
        "environment": "production",
        "risk": "medium",
    }
    targets = [{"name": "prod-1", "address": cluster.address, "port": cluster.port}]
    files |= {
        "clusters/prod.yaml": yaml.safe_dump({**head, "targets": targets, "connection": known}),
        "policies/kube.yaml": POLICY,
    }
    world.apply(files)
    world.catalog |= files
    return world

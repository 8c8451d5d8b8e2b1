"""What an API server asks about a request before it is made: who may do what, without the query and
the body.
"""

import pytest

from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import compile_set
from sessions_app.policy.commands.kubernetes.access import decide_access, decide_path
from sessions_app.policy.commands.kubernetes.rights import Request
from tests.sessions_app.policy.commands.kubernetes.test_requests import allow, document

POD = {"run": "delete pod {pod} -n shop", "where": {"pod": {"pattern": "web-[a-z0-9]+"}}}


def ask(compiled, verb, resource, name="", namespace="shop", group=""):
    return decide_access(compiled, Request(verb, group, resource, name, namespace))


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("get pods -n shop", ("list", "pods")),
        ("get pods -n shop", ("get", "pods", "web-1")),
        ("scale deployment/web -n shop", ("patch", "deployments/scale", "web", "shop", "apps")),
        ("logs -n shop", ("get", "pods/log", "web-1")),
        (POD, ("delete", "pods", "web-x2")),
        ("get namespaces", ("get", "namespaces", "shop", "shop")),
        ("get nodes", ("list", "nodes", "", "")),
    ],
)
def test_what_a_command_sends_is_allowed(command, asked):
    assert isinstance(ask(allow(command), *asked), Allowed)


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("get pods -n shop", ("list", "pods", "", "pay")),
        ("get pods -n shop", ("list", "pods", "", "")),
        ("get pods -n shop", ("delete", "pods", "web-1")),
        ("get pods -n shop", ("*", "*")),
        ("get pods -n shop", ("list", "pods", "", "shop", "metrics.k8s.io")),
        ("get pods -n shop", ("get", "pods/log", "web-1")),
        ("delete pod web-1 -n shop", ("delete", "pods", "web-2")),
        ("delete pod web-1 -n shop", ("delete", "pods")),
        (POD, ("delete", "pods", "db-1")),
        (
            {"rule": {"verbs": ["*"], "groups": [""], "resources": ["*"], "namespaces": ["shop"]}},
            ("create", "pods/exec", "web-1"),
        ),
    ],
)
def test_nothing_else_is(command, asked):
    refused = ask(allow(command), *asked)
    assert refused.code == "right"
    assert refused.nearest


@pytest.mark.parametrize(
    ("command", "asked", "unseen"),
    [
        (
            "set image deployment/web -n shop app=a:1",
            ("patch", "deployments", "web", "shop", "apps"),
            "set image",
        ),
        ("exec web-1 -n shop -c app -- date", ("create", "pods/exec", "web-1"), "program"),
        ("logs web-1 -n shop --previous", ("get", "pods/log", "web-1"), "log before the last restart"),
        (
            {"run": "delete pod web-1 -n shop", "hold": True},
            ("delete", "pods", "web-1"),
            "need for a second person's approval",
        ),
    ],
)
def test_a_command_that_compares_more_than_is_asked_allows_nothing(command, asked, unseen):
    refused = ask(allow(command), *asked)
    assert refused.reason.endswith(f"an authorization webhook does not see its {unseen}")
    assert refused.nearest is not None


def test_what_kubectl_reads_around_such_a_command_is_allowed():
    scale = allow({"run": "scale deployment/web -n shop --replicas 2", "hold": True})
    assert isinstance(ask(scale, "get", "deployments", "web", "shop", "apps"), Allowed)


def test_a_command_that_the_approvers_excluded_allows_nothing():
    kept = compile_set(document("get pods -n shop", "delete pod web-1 -n shop"), {}, [0])
    assert ask(kept, "delete", "pods", "web-1").code == "left_out"


def test_what_a_cluster_can_do_is_open_to_every_grant():
    for path in ("/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3", "/version"):
        assert isinstance(decide_path("get", path), Allowed), path


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("get", "/metrics"),
        ("get", "/logs/"),
        ("post", "/api"),
        ("trace", "/api"),
        ("get", "/api/../metrics"),
        ("get", "*"),
        ("get", "/api/v1/namespaces/shop/secrets"),
    ],
)
def test_no_other_path_is(verb, path):
    assert not isinstance(decide_path(verb, path), Allowed)

"""Lines that are one request: Stint can send it itself, and it is what an approved line would send."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.argv.quoting import QuoteRefused
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.decide import decide, decide_request
from sessions_app.policy.commands.kubernetes.filling import fillable, line_of, lines_for
from sessions_app.policy.commands.kubernetes.sending import sending_of
from tests.sessions_app.policy.commands.kubernetes.test_requests import allow

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/web"


@pytest.mark.parametrize(
    ("line", "method", "path", "query", "body"),
    [
        ("get pods -n shop", "GET", "/api/v1/namespaces/shop/pods", "", None),
        ("get pods -A", "GET", "/api/v1/pods", "", None),
        ("get deployment/web -n shop", "GET", DEPLOYMENT, "", None),
        (
            "logs web-1 -c app --tail 20 -n shop",
            "GET",
            "/api/v1/namespaces/shop/pods/web-1/log",
            "container=app&tailLines=20",
            None,
        ),
        (
            "scale deployment/web -n shop --replicas 3",
            "PATCH",
            f"{DEPLOYMENT}/scale",
            "",
            {"spec": {"replicas": 3}},
        ),
        (
            "set image deployment/web -n shop app=a:1",
            "PATCH",
            DEPLOYMENT,
            "",
            {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "a:1"}]}}}},
        ),
        (
            "rollout restart deployment/web -n shop",
            "PATCH",
            DEPLOYMENT,
            "",
            {
                "spec": {
                    "template": {
                        "metadata": {
                            "annotations": {"kubectl.kubernetes.io/restartedAt": "2026-03-04T05:06:07Z"}
                        }
                    }
                }
            },
        ),
        (
            "label pod web-1 -n shop tier=gold old-",
            "PATCH",
            "/api/v1/namespaces/shop/pods/web-1",
            "",
            {"metadata": {"labels": {"tier": "gold", "old": None}}},
        ),
        ("rollout resume deployment/web -n shop", "PATCH", DEPLOYMENT, "", {"spec": {"paused": None}}),
        (
            "annotate pod web-1 -n shop a.b/c=d",
            "PATCH",
            "/api/v1/namespaces/shop/pods/web-1",
            "",
            {"metadata": {"annotations": {"a.b/c": "d"}}},
        ),
        ("cordon node-1", "PATCH", "/api/v1/nodes/node-1", "", {"spec": {"unschedulable": True}}),
        (
            "delete pod web-1 -n shop",
            "DELETE",
            "/api/v1/namespaces/shop/pods/web-1",
            "",
            {"propagationPolicy": "Background"},
        ),
        (
            "exec web-1 -n shop -c app -- date -u",
            "GET",
            "/api/v1/namespaces/shop/pods/web-1/exec",
            "command=date&command=-u&container=app&stdout=true",
            None,
        ),
    ],
)
def test_a_line_sends_one_request_that_its_own_set_allows(line, method, path, query, body):
    sending = sending_of(line, NOW)
    assert (sending.method, sending.path("v1"), sending.query, sending.sent.body) == (
        method,
        path,
        query,
        body,
    )
    assert isinstance(
        decide_request(allow(line), sending.request("v1"), sending.sent_to(body, (), "")), Allowed
    )
    assert fillable(allow(line)) == {0}


def test_nothing_is_sent_inside_of_a_container_before_the_object_was_read():
    line = "set image deployment/web -n shop app=a:1"
    sending = sending_of(line, NOW)
    assert decide_request(allow(line), sending.request("v1"), sending.sent_to(None, (), "")).code == "target"
    unread = decide_request(
        allow(line), sending.request("v1"), sending.sent_to(None, (), "it did not answer")
    )
    assert "it did not answer" in unread.reason
    other = {"spec": {"template": {"spec": {"containers": [{"name": "api"}]}}}}
    added = decide_request(allow(line), sending.request("v1"), sending.sent_to(other, (), ""))
    assert "web has no spec.template.spec.containers[app], and the command must not add one" in added.reason


TARGET = {"metadata": {"name": "web", "uid": "u1", "resourceVersion": "77"}, "spec": {"paused": False}}


def past(number: int, uid: str = "u1") -> dict:
    """A revision, as controllers of each kind leave one behind."""
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": f"a:{number}"}]},
    }
    return {
        "metadata": {
            "ownerReferences": [{"uid": uid}],
            "annotations": {"deployment.kubernetes.io/revision": str(number)},
        },
        "revision": number,
        "spec": {"template": template},
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
    }


@pytest.mark.parametrize("kind", ["deployment", "statefulset", "daemonset"])
def test_an_undo_puts_back_the_revision_before_the_current_one_and_is_bound_to_its_target(kind):
    line = f"rollout undo {kind}/web -n shop"
    sending = sending_of(line, NOW)
    assert decide_request(allow(line), sending.request("v1"), sending.sent_to(None, (), "")).code == "history"
    history = (past(10), past(9), past(2), past(99, uid="another"))
    found = decide_request(allow(line), sending.request("v1"), sending.sent_to(TARGET, history, ""))
    assert isinstance(found, Allowed)
    assert (found.line, found.version) == (f"{line} --to-revision 9", "77")


def test_an_undo_without_a_revision_before_and_of_a_paused_deployment_sends_nothing():
    sending = sending_of("rollout undo deployment/web -n shop", NOW)
    for history in ((), (past(1),), (past(1), past(2, uid="another"))):
        with pytest.raises(RuleRefused, match="no previous revision"):
            sending.sent_to(TARGET, history, "")
    with pytest.raises(RuleRefused, match="resume it first"):
        sending.sent_to({**TARGET, "spec": {"paused": True}}, (past(1), past(2)), "")


@pytest.mark.parametrize(
    "line",
    [
        "get pods -n shop -w",
        "describe pod web-1 -n shop",
        "rollout history deployment/web -n shop",
        "rollout status deployment/web -n shop",
        "get pods,services -n shop",
        "delete pod web-1 web-2 -n shop",
        "attach web-1 -n shop -c app",
        "port-forward pod/web-1 80 -n shop",
        "delete pods -n shop",
        "logs -n shop",
        "create configmaps -n shop",
    ],
)
def test_a_line_of_several_requests_or_without_an_object_is_left_to_kubectl(line):
    with pytest.raises(RuleRefused):
        sending_of(line, NOW)
    assert fillable(allow(line)) == frozenset()


def test_a_number_that_no_line_says_is_left_to_kubectl():
    assert fillable(allow("scale deployment/web -n shop")) == frozenset()


EXEC = {
    "run": "exec {pod} -n {ns} -c app -- echo say {word}",
    "where": {"pod": {"pattern": "web-[a-z0-9]+"}, "word": {"pattern": "[a-z ]+"}},
}


def test_a_form_fills_a_command_as_a_person_would_type_it():
    compiled = allow(EXEC, parameters={"ns": {"choice": ["shop", "pay"]}}, ns="shop")
    found = lines_for(compiled, 0, {"pod": "web-1", "word": "good day"})
    assert isinstance(found, Allowed)
    assert found.line == "exec web-1 -n shop -c app -- echo say 'good day'"
    assert found.program == ("echo", "say", "good day")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pod": "web-1"}, "word is required"),
        ({"pod": "web-1", "word": "a", "ns": "pay"}, "ns is not a value of this command"),
        ({"pod": "db-1", "word": "a"}, "pod needs "),
        ({"pod": "web-1", "word": "a; id"}, "word needs "),
        ({"pod": "web-1 -n pay", "word": "a"}, "pod needs "),
    ],
)
def test_a_value_outside_its_type_fills_nothing(values, says):
    compiled = allow(EXEC, parameters={"ns": {"choice": ["shop", "pay"]}}, ns="shop")
    found = lines_for(compiled, 0, values)
    assert isinstance(found, Refused)
    assert found.reason.startswith(says)


def test_what_is_not_allowed_has_a_line_too_so_that_it_is_recorded():
    compiled = allow(EXEC, parameters={"ns": {"choice": ["shop", "pay"]}}, ns="shop")
    assert (
        line_of(compiled, 0, {"pod": "db-1", "word": "a; id"})
        == "exec db-1 -n shop -c app -- echo say 'a; id'"
    )
    assert line_of(compiled, 0, {"pod": "db-1"}) is None
    assert line_of(compiled, 7, {}) is None


FREE = allow(
    EXEC,
    {
        "run": "scale deployment/{name} -n shop --replicas {n}",
        "where": {"name": {"pattern": "web[a-z-]*"}, "n": {"int": [0, 9]}},
    },
    {
        "run": "label pod {name} -n shop tier={value}",
        "where": {"name": {"pattern": ".+"}, "value": {"pattern": ".+"}},
    },
    parameters={"ns": {"choice": ["shop", "pay"]}},
    ns="shop",
)
ODD = st.text(max_size=12) | st.sampled_from(
    [
        "web-1",
        "3",
        "-A",
        "--replicas",
        "web-1 -n pay",
        "a -- b",
        "'",
        "a' -n 'pay",
        "{ns}",
        "x=y",
        "web/scale",
        "..",
    ]
)


@given(
    form=st.sampled_from([(0, "pod", "word"), (1, "name", "n"), (2, "name", "value")]),
    values=st.tuples(ODD, ODD),
)
def test_what_is_allowed_is_what_is_sent_whatever_a_form_sends(form, values):
    index, *names = form
    try:
        line = line_of(FREE, index, dict(zip(names, values, strict=True)))
    except QuoteRefused:
        return
    decision = decide(FREE, line) if line is not None else None
    if not isinstance(decision, Allowed):
        return
    sending = sending_of(line, NOW)
    again = decide_request(FREE, sending.request("v1"), sending.sent_to(None, (), ""))
    assert isinstance(again, Allowed)
    assert (again.argv, again.program, again.hold) == (decision.argv, decision.program, decision.hold)
    assert sending.place.startswith("/namespaces/shop/")


def test_a_command_that_kubectl_alone_can_run_is_not_in_any_form():
    compiled = allow("get pods -n shop -w")
    assert lines_for(compiled, 0, {}).code == "left_out"
    assert line_of(compiled, 0, {}) is None

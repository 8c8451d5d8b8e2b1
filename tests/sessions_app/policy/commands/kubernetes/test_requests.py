"""Each request to a cluster is compared with what an approved line would send, value by value."""

import contextlib
import copy
import hashlib
import json
import time

import pytest

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kinds import (
    compile_open,
    compile_set,
    covers,
    decide,
    describe,
    parse_document,
)
from sessions_app.policy.commands.kubernetes.api_request import Sent, read_request
from sessions_app.policy.commands.kubernetes.decide import decide_request
from sessions_app.policy.commands.kubernetes.texts import Slot, match
from sessions_app.policy.commands.parameters import Pattern
from sessions_app.policy.documents import DocumentError
from tests.support.pace import allow as allow_seconds
from tests.support.servers.kubernetes.streams import on

MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH, SERVER_SIDE = "application/json-patch+json", "application/apply-patch+yaml"
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/web"
POD = "/api/v1/namespaces/shop/pods/web-1"
PODS = {"pod": {"pattern": "web-[a-z0-9]+"}}


def document(*commands, parameters=None):
    made = [{"effect": "destructive", **({"run": one} if isinstance(one, str) else one)} for one in commands]
    return parse_document(
        {
            "name": "a",
            "kind": "kubernetes",
            "summary": "s",
            "risk": "low",
            "commands": made,
            "parameters": parameters or {},
        }
    )


def allow(*commands, parameters=None, **values):
    return compile_set(document(*commands, parameters=parameters), values)


# The deployment as the cluster has it.
THERE = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7", "uid": "u-1"},
    "spec": {
        "replicas": 1,
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [{"name": "app", "image": "a:0"}, {"name": "side", "image": "b:0"}],
                "initContainers": [{"name": "migrate", "image": "m:0"}],
            },
        },
    },
}


def ask(compiled, method, url, body=None, media_type="", target=THERE):
    path, _, query = url.partition("?")
    kind = media_type or ("application/json" if body is not None else "")
    return decide_request(compiled, read_request(method, path, query), Sent(kind, body, target))


def images(image, *, name="app", **more):
    container = {"image": image, "name": name, **more}
    return {
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "app"}, {"name": "side"}],
                    "containers": [container],
                }
            }
        }
    }


SCALE = {"run": "scale deployment/web -n shop --replicas {n}", "where": {"n": {"int": [1, 5]}}}


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ({"spec": {"replicas": 3}}, MERGE),
        ({"spec": {"replicas": 3}}, STRATEGIC),
        ([{"op": "replace", "path": "/spec/replicas", "value": 3}], JSON_PATCH),
        ({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}}, MERGE),
    ],
)
def test_a_scale_may_be_sent_as_any_patch_that_sets_only_its_number(body, media_type):
    verdict = ask(allow(SCALE), "PATCH", f"{DEPLOYMENT}/scale?fieldManager=kubectl", body, media_type)
    assert isinstance(verdict, Allowed), verdict
    assert (verdict.line, verdict.matched) == ("scale deployment/web -n shop --replicas 3", {"n": "3"})


@pytest.mark.parametrize(
    ("body", "media_type", "says"),
    [
        ({"spec": {"replicas": 6}}, MERGE, "spec.replicas needs a number from 1 to 5"),
        ({"spec": {"replicas": "3"}}, MERGE, "a whole number"),
        ({"spec": {"replicas": 3.0}}, MERGE, "a whole number"),
        ({"spec": {"replicas": True}}, MERGE, "a whole number"),
        ({"spec": {"replicas": None}}, MERGE, "a whole number"),
        ({"spec": {}}, MERGE, "it sets spec, which the command does not allow"),
        ({}, MERGE, "spec.replicas is missing"),
        (None, MERGE, "the body must be an object"),
        ([], MERGE, "the body must be an object"),
        (
            {"spec": {"replicas": 3, "selector": {"a": "b"}}},
            MERGE,
            "it sets spec.selector.a, which the command does not allow",
        ),
        ({"spec": {"replicas": 3}, "metadata": {"labels": {"a": "b"}}}, MERGE, "it sets metadata.labels.a"),
        ({"spec": {"replicas": 3, "$patch": "replace"}}, STRATEGIC, "spec.$patch is a patch directive"),
        ({"spec": {"replicas": 3}}, "application/json", "media type"),
        ({"spec": {"replicas": 3}}, "application/vnd.kubernetes.protobuf", "media type"),
        ({"spec": {"replicas": 3}}, SERVER_SIDE, "--server-side"),
        ([{"op": "remove", "path": "/spec/replicas"}], JSON_PATCH, "only add and replace"),
        (
            [
                {"op": "replace", "path": "/spec/replicas", "value": 3},
                {"op": "add", "path": "/metadata/labels/a", "value": "b"},
            ],
            JSON_PATCH,
            "metadata.labels.a",
        ),
        (
            [{"op": "replace", "path": "/spec", "value": {"replicas": 3}}],
            JSON_PATCH,
            "it sets spec, which the command does not allow",
        ),
        (
            [
                {"op": "replace", "path": "/spec/replicas", "value": 1},
                {"op": "replace", "path": "/spec/replicas", "value": 9},
            ],
            JSON_PATCH,
            "twice",
        ),
    ],
)
def test_anything_else_in_a_scale_is_refused_by_name(body, media_type, says):
    verdict = ask(allow(SCALE), "PATCH", f"{DEPLOYMENT}/scale", body, media_type)
    assert isinstance(verdict, Refused), verdict
    assert says in verdict.reason
    assert verdict.nearest == "scale deployment/web -n shop --replicas {n}"


@pytest.mark.parametrize(
    ("method", "url", "says"),
    [
        ("PUT", f"{DEPLOYMENT}/scale", "nothing here allows you to update deployments/scale.apps web"),
        ("PATCH", DEPLOYMENT, "nothing here allows you to patch deployments.apps web"),
        ("PATCH", f"{DEPLOYMENT}/scale?force=true", "the query has force"),
        ("PATCH", f"{DEPLOYMENT}/scale?dryRun=None", "dryRun must be All"),
        ("PATCH", "/apis/apps/v1/namespaces/shop/statefulsets/web/scale", "nothing here"),
        ("PATCH", "/apis/apps/v1/namespaces/other/deployments/web/scale", "nothing here"),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/api/scale", "nothing here"),
    ],
)
def test_the_place_and_the_query_are_compared_too(method, url, says):
    verdict = ask(allow(SCALE), method, url, {"spec": {"replicas": 3}}, MERGE)
    assert isinstance(verdict, Refused)
    assert says in verdict.reason


def test_a_dry_run_is_recorded_as_one():
    verdict = ask(allow(SCALE), "PATCH", f"{DEPLOYMENT}/scale?dryRun=All", {"spec": {"replicas": 3}}, MERGE)
    assert verdict.line == "scale deployment/web -n shop --replicas 3 --dry-run=server"
    assert isinstance(decide(allow(SCALE), verdict.line), Allowed)


RELEASE = {"release": {"pattern": "v[0-9.]+", "from": "workflow.release"}}


def test_an_image_that_is_bound_to_a_release_is_the_only_one_that_can_be_set():
    line = "set image deployment/web -n shop app=registry.example/shop:{release}"
    compiled = allow(line, parameters=RELEASE, release="v2.1")
    good = ask(
        compiled,
        "PATCH",
        f"{DEPLOYMENT}?fieldManager=kubectl-set",
        images("registry.example/shop:v2.1"),
        STRATEGIC,
    )
    assert isinstance(good, Allowed), good
    assert good.line == "set image deployment/web app=registry.example/shop:v2.1 -n shop"
    for other in (
        "registry.example/shop:v2.2",
        "registry.example/evil:v2.1",
        "registry.example/shop:v2.1@sha256:0",
    ):
        bad = ask(compiled, "PATCH", DEPLOYMENT, images(other), STRATEGIC)
        assert "spec.template.spec.containers[app].image must be `registry.example/shop:v2.1`" in bad.reason


@pytest.mark.parametrize(
    ("body", "media_type", "says"),
    [
        (images("a:1", name="side"), STRATEGIC, "it sets spec.template.spec.containers[side].image"),
        (images("a:1", command=["sh"]), STRATEGIC, "it sets spec.template.spec.containers[app].command"),
        (images("a:1", env=[{"name": "A", "value": "b"}]), STRATEGIC, "containers[app].env[A].value"),
        (images("a:1", **{"$patch": "delete"}), STRATEGIC, "containers[app].$patch is a patch directive"),
        (
            {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "a:1"}]}}}},
            MERGE,
            "it sets spec.template.spec.containers, which",
        ),
        (
            {"spec": {"template": {"spec": {"containers": [{"image": "a:1"}]}}}},
            STRATEGIC,
            "it sets spec.template.spec.containers, which",
        ),
        (
            {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [{"name": "app", "image": "a:1"}, {"name": "app", "image": "b"}]
                        }
                    }
                }
            },
            STRATEGIC,
            "set twice",
        ),
        (
            {"spec": {"template": {"spec": {"$setElementOrder/tolerations": [{"name": "a"}]}}}},
            STRATEGIC,
            "is a patch directive",
        ),
        (
            {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "a", "image": "x"}]}}}},
            STRATEGIC,
            "is a patch directive",
        ),
        (
            [
                {
                    "op": "replace",
                    "path": "/spec/template/spec",
                    "value": {"containers": [{"name": "app", "image": "a:1"}]},
                }
            ],
            JSON_PATCH,
            "it sets spec.template.spec, which",
        ),
        (
            [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "a:1"}],
            JSON_PATCH,
            "an index into a list",
        ),
    ],
)
def test_what_else_a_patch_of_an_image_sets_is_refused_by_name(body, media_type, says):
    verdict = ask(allow("set image deployment/web -n shop app=a:1"), "PATCH", DEPLOYMENT, body, media_type)
    assert isinstance(verdict, Refused)
    assert says in verdict.reason


SET_IMAGE = "set image deployment/web -n shop app=a:1"


def test_an_image_is_only_set_where_the_container_is_and_the_write_is_bound_to_that():
    asked = ask(allow(SET_IMAGE), "PATCH", DEPLOYMENT, images("a:1"), STRATEGIC, target=None)
    assert asked.code == "target"
    good = ask(allow(SET_IMAGE), "PATCH", DEPLOYMENT, images("a:1"), STRATEGIC)
    assert (good.line, good.version) == ("set image deployment/web app=a:1 -n shop", "7")
    assert isinstance(decide(allow(SET_IMAGE), good.line), Allowed)
    other = copy.deepcopy(THERE)
    other["spec"]["template"]["spec"]["containers"][0]["name"] = "api"
    for target in (other, {}, {**THERE, "spec": {}}):
        added = ask(allow(SET_IMAGE), "PATCH", DEPLOYMENT, images("a:1"), STRATEGIC, target=target)
        assert isinstance(added, Refused)
        assert (
            "web has no spec.template.spec.containers[app], and the command must not add one"
        ) in added.reason


def test_an_image_is_set_in_a_container_that_runs_before_the_others_too():
    compiled = allow("set image deployment/web -n shop migrate=m:1")

    def sent(*, also=(), **more):
        pod = {"initContainers": [{"name": "migrate", "image": "m:1"}, *also], **more}
        return ask(compiled, "PATCH", DEPLOYMENT, {"spec": {"template": {"spec": pod}}}, STRATEGIC)

    assert sent().line == "set image deployment/web migrate=m:1 -n shop"
    assert "set the same field twice" in sent(
        containers=[{"name": "migrate", "image": "m:1"}]
    ).reason.replace("sets", "set")
    assert "initContainers[evil].image" in sent(also=[{"name": "evil", "image": "m:1"}]).reason
    assert "initContainers[migrate].command" in sent(also=[{"name": "migrate", "command": ["sh"]}]).reason


@pytest.mark.parametrize(
    ("order", "good"),
    [
        ("app side", True),
        ("app", True),
        ("side", True),
        ("side app", False),
        ("app side app", False),
        ("new app side", True),
    ],
)
def test_a_patch_puts_no_containers_in_another_order(order, good):
    body = images("a:1")
    body["spec"]["template"]["spec"]["$setElementOrder/containers"] = [{"name": one} for one in order.split()]
    verdict = ask(allow(SET_IMAGE), "PATCH", DEPLOYMENT, body, STRATEGIC)
    assert isinstance(verdict, Allowed) is good, verdict
    assert good or "changes the order of spec.template.spec.containers" in verdict.reason


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ({"spec": {"template": {"spec": {"containers": {"app": {"image": "a:1"}}}}}}, MERGE),
        ([{"op": "add", "path": "/spec/template/spec/containers/app/image", "value": "a:1"}], JSON_PATCH),
    ],
)
def test_an_item_of_a_list_is_named_by_no_other_patch(body, media_type):
    verdict = ask(allow(SET_IMAGE), "PATCH", DEPLOYMENT, body, media_type)
    assert isinstance(verdict, Refused)
    assert "only a strategic merge patch can change it" in verdict.reason


def test_what_a_decision_needs_to_read_comes_before_a_command_that_needs_nothing():
    rule = {
        "rule": {"verbs": ["patch"], "groups": ["apps"], "resources": ["deployments"], "namespaces": ["shop"]}
    }
    compiled = allow(rule, {"run": SET_IMAGE, "hold": True})
    assert ask(compiled, "PATCH", DEPLOYMENT, images("a:1"), STRATEGIC, target=None).code == "target"
    assert ask(compiled, "PATCH", DEPLOYMENT, images("a:1"), STRATEGIC).hold
    assert not ask(compiled, "PATCH", DEPLOYMENT, images("a:2"), STRATEGIC, target=None).hold


def test_a_restart_sets_a_time_and_nothing_else():
    compiled = allow("rollout restart deployment/web -n shop")

    def restart(value, **more):
        body = {
            "spec": {
                "template": {
                    "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": value, **more}}
                }
            }
        }
        return ask(compiled, "PATCH", f"{DEPLOYMENT}?fieldManager=kubectl-rollout", body, STRATEGIC)

    assert restart("2026-11-28T10:00:00Z").line == "rollout restart deployment/web -n shop"
    assert isinstance(restart("2026-11-28T10:00:00+01:00"), Allowed)
    for bad in (
        restart("now"),
        restart("2026-13-28T10:00:00Z"),
        restart(None),
        restart("2026-11-28T10:00:00Z", a="b"),
    ):
        assert isinstance(bad, Refused)


TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}}
OWNER = {
    "metadata": {"uid": "u-1", "annotations": {"deployment.kubernetes.io/revision": "3", "team": "shop"}}
}


def revision(template, *, uid="u-1", number="2", **annotations):
    labels = {**template["metadata"]["labels"], "pod-template-hash": "abc"}
    return {
        "metadata": {
            "ownerReferences": [{"uid": uid}],
            "annotations": {"deployment.kubernetes.io/revision": number, **annotations},
        },
        "spec": {"template": {**template, "metadata": {"labels": labels, "creationTimestamp": None}}},
    }


def undo(template, annotations, *history):
    body = [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ]
    compiled = allow("rollout undo deployment/web -n shop")
    return decide_request(
        compiled,
        read_request("PATCH", DEPLOYMENT, ""),
        Sent(JSON_PATCH, body, history[0] if history else None, history[1:]),
    )


def test_an_undo_puts_back_a_revision_of_its_own_target_and_nothing_else():
    kept, evil = (
        {"deployment.kubernetes.io/revision": "3"},
        {**TEMPLATE, "spec": {"containers": [{"name": "app", "image": "evil"}]}},
    )
    good = undo(TEMPLATE, kept, OWNER, revision(TEMPLATE))
    assert isinstance(good, Allowed), good
    assert good.line == "rollout undo deployment/web -n shop --to-revision 2"
    assert isinstance(undo(TEMPLATE, {**kept, "team": "old"}, OWNER, revision(TEMPLATE, team="old")), Allowed)
    for bad in (
        undo(evil, kept, OWNER, revision(TEMPLATE)),
        undo(TEMPLATE, {**kept, "a": "b"}, OWNER, revision(TEMPLATE)),
        undo(evil, kept, OWNER, revision(TEMPLATE), revision(evil, uid="u-2")),
        undo(TEMPLATE, kept, OWNER),
        undo(TEMPLATE, kept, {"metadata": {}}, revision(TEMPLATE)),
    ):
        assert isinstance(bad, Refused)
        assert "no revision of the target has" in bad.reason


def test_an_undo_asks_for_the_revisions_before_it_is_decided():
    verdict = undo(TEMPLATE, {})
    assert isinstance(verdict, Refused)
    assert verdict.code == "history"
    assert isinstance(
        decide(allow("rollout undo deployment/web -n shop"), "rollout undo deployment/web -n shop"), Allowed
    )


def test_an_undo_of_a_stateful_set_sends_the_data_of_its_revision():
    compiled = allow("rollout undo statefulset/web -n shop")
    asked = read_request("PATCH", "/apis/apps/v1/namespaces/shop/statefulsets/web", "")
    data = {"spec": {"template": {**TEMPLATE, "$patch": "replace"}}}
    past = {"metadata": {"ownerReferences": [{"uid": "u-1"}]}, "revision": 7, "data": data}
    verdict = decide_request(compiled, asked, Sent(STRATEGIC, data, OWNER, (past,)))
    assert verdict.line == "rollout undo statefulset/web -n shop --to-revision 7"
    other = {"spec": {"template": {**TEMPLATE, "$patch": "replace"}, "replicas": 9}}
    assert isinstance(decide_request(compiled, asked, Sent(STRATEGIC, other, OWNER, (past,))), Refused)


def test_what_kubectl_asks_around_a_run_is_a_poll_and_not_held():
    compiled = allow({**SCALE, "hold": True}, {"run": "delete pod {pod} -n shop", "where": PODS})
    run = ask(compiled, "PATCH", f"{DEPLOYMENT}/scale", {"spec": {"replicas": 3}}, MERGE)
    assert (run.hold, run.poll) == (True, False)
    around = [
        ask(compiled, "GET", DEPLOYMENT),
        ask(compiled, "GET", "/api?timeout=32s"),
        ask(compiled, "GET", "/openapi/v3"),
        ask(compiled, "GET", "/api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Dweb-1&watch=true"),
    ]
    assert [(one.poll, one.hold, one.effect) for one in around] == [(True, False, "read")] * 4
    assert isinstance(ask(compiled, "GET", "/api/v1/namespaces/shop/pods"), Refused)
    assert isinstance(
        ask(compiled, "GET", "/api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Dapi-1"), Refused
    )


def test_a_secret_that_is_read_around_a_run_is_recorded_all_the_same():
    verdict = ask(allow("label secret/key -n shop a=b"), "GET", "/api/v1/namespaces/shop/secrets/key")
    assert (verdict.poll, verdict.effect, verdict.line) == (False, "read", "get secret/key -n shop")


def test_a_read_that_is_listed_is_a_run_even_where_another_line_needs_it():
    verdict = ask(allow(SCALE, {"run": "get deployments -n shop", "effect": "read"}), "GET", DEPLOYMENT)
    assert (verdict.poll, verdict.line) == (False, "get deployment/web -n shop")


@pytest.mark.parametrize(
    "path", ["/healthz", "/metrics", "/logs/x", "/debug/pprof", "/", "/version/x", "/apiserver"]
)
def test_only_discovery_is_open_to_every_grant(path):
    assert isinstance(ask(allow(SCALE), "GET", path), Refused)
    assert isinstance(ask(allow(SCALE), "POST", "/api", {}), Refused)


EXEC = {
    "run": "exec {pod} -c app -n shop -- tail -n {n} /var/log/a.log",
    "where": {**PODS, "n": {"int": [1, 9]}},
}


def run(compiled, *argv, **query):
    words = "&".join(
        [*(f"command={word}" for word in argv), *(f"{key}={value}" for key, value in query.items())]
    )
    return ask(compiled, "GET", f"{POD}/exec?{words}")


def test_exec_runs_one_program_word_by_word_in_one_container():
    good = run(allow(EXEC), "tail", "-n", "5", "/var/log/a.log", container="app", stdout="true")
    assert isinstance(good, Allowed), good
    assert good.program == ("tail", "-n", "5", "/var/log/a.log")
    assert (good.contain, good.line) == ("wrapper", "exec web-1 -n shop -c app -- tail -n 5 /var/log/a.log")


@pytest.mark.parametrize(
    ("argv", "query", "says"),
    [
        (("sh", "-c", "id", "x"), {"container": "app"}, "expected `tail` instead of `sh`"),
        (("tail", "-n", "99", "/var/log/a.log"), {"container": "app"}, "n needs a number from 1 to 9"),
        (("tail", "-n", "5"), {"container": "app"}, "the program must be"),
        ((), {"container": "app"}, "the program must be"),
        (("tail", "-n", "5", "/var/log/a.log"), {"container": "side"}, "-c must be `app`"),
        (("tail", "-n", "5", "/var/log/a.log"), {}, "-c must be"),
        (
            ("tail", "-n", "5", "/var/log/a.log"),
            {"container": "app", "stdin": "true"},
            "the command does not allow -i",
        ),
        (
            ("tail", "-n", "5", "/var/log/a.log"),
            {"container": "app", "tty": "true"},
            "the command does not allow -t",
        ),
    ],
)
def test_another_program_container_or_terminal_is_refused(argv, query, says):
    verdict = run(allow(EXEC), *argv, **query)
    assert isinstance(verdict, Refused)
    assert says in verdict.reason


def test_a_port_forward_opens_only_the_ports_that_are_listed():
    compiled = allow(
        {"run": "port-forward pod/{pod} 8080 {port} -n shop", "where": {**PODS, "port": {"choice": ["9090"]}}}
    )
    assert ask(compiled, "GET", f"{POD}/portforward").ports == (8080, 9090)
    assert ask(compiled, "GET", f"{POD}/portforward?ports=9090").ports == (9090,)
    assert "port 22 is not one of 8080, 9090" in ask(compiled, "GET", f"{POD}/portforward?ports=22").reason


@pytest.mark.parametrize("resource", ["pods/exec", "pods/attach", "pods/portforward"])
def test_a_rule_never_opens_a_stream_into_a_pod(resource):
    rule = {"verbs": ["get"], "groups": [""], "resources": [resource], "namespaces": ["shop"]}
    with pytest.raises(DocumentError, match="write a line with"):
        document({"rule": rule})
    compiled = allow({"rule": {**rule, "resources": ["*"]}})
    assert isinstance(ask(compiled, "GET", f"{POD}/log"), Allowed)
    assert isinstance(
        ask(compiled, "GET", f"{POD}/{resource.partition('/')[2]}?command=id&container=app"), Refused
    )


def test_a_log_is_followed_only_if_the_line_says_so_and_written_limits_hold():
    free, limited = (
        allow("logs web-1 -n shop -f"),
        allow({"run": "logs web-1 -n shop -c app --tail {n}", "where": {"n": {"int": [1, 50]}}}),
    )
    assert ask(free, "GET", f"{POD}/log?follow=true&container=x").line == "logs web-1 -n shop -c x -f"
    assert "not followed" in ask(limited, "GET", f"{POD}/log?follow=true&container=app&tailLines=5").reason
    assert isinstance(ask(limited, "GET", f"{POD}/log?container=app&tailLines=50"), Allowed)
    for query in (
        "container=app",
        "container=app&tailLines=51",
        "container=b&tailLines=5",
        "tailLines=5",
        "container=app&tailLines=5&x=1",
    ):
        assert isinstance(ask(limited, "GET", f"{POD}/log?{query}"), Refused)


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (None, True),
        ({"propagationPolicy": "Background"}, True),
        ({"kind": "DeleteOptions", "propagationPolicy": "Foreground"}, True),
        ({"propagationPolicy": "Orphan"}, False),
        ({"gracePeriodSeconds": 0}, False),
        ({"orphanDependents": True}, False),
        ([], False),
    ],
)
def test_a_delete_keeps_the_grace_of_the_object(body, good):
    compiled = allow({"run": "delete pod {pod} -n shop", "where": PODS})
    assert isinstance(ask(compiled, "DELETE", POD, body), Allowed) is good
    assert isinstance(ask(compiled, "DELETE", "/api/v1/namespaces/shop/pods", body), Refused)


APPLY = {
    "apply": {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "namespaces": ["shop"],
        "names": ["web"],
        "fields": {
            "spec.replicas": {"int": [1, 5]},
            "spec.template.spec.containers[app].image": "{image}",
            "metadata.labels[example.com/tier]": "gold",
        },
    },
    "where": {"image": {"choice": ["a:1", "a:2"]}},
}


def test_apply_sets_only_listed_fields():
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"example.com/tier": "gold"}},
        **images("a:2"),
    }
    verdict = ask(allow(APPLY), "PATCH", DEPLOYMENT, body, STRATEGIC)
    assert isinstance(verdict, Allowed), verdict
    assert verdict.argv == (
        "apply",
        "deployment/web",
        "metadata.labels[example.com/tier]=gold",
        "spec.template.spec.containers[app].image=a:2",
        "-n",
        "shop",
    )
    again = decide(allow(APPLY), verdict.line)
    assert isinstance(again, Allowed), again
    assert again.line == verdict.line


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"spec": {"replicas": 9}}, "spec.replicas needs a number"),
        ({"spec": {"replicas": None}}, "must be a number"),
        (images("b:1"), "is not one of a:1, a:2"),
        ({"spec": {"paused": True}}, "it sets spec.paused, which the command does not allow"),
        ({"metadata": {"name": "api"}, "spec": {"replicas": 2}}, "metadata.name must be `web`"),
        ({"kind": "Job", "spec": {"replicas": 2}}, "kind must be `Deployment`"),
        ({"metadata": {"name": "web"}}, "it sets none of"),
        (
            {
                "metadata": {
                    "annotations": {
                        "kubectl.kubernetes.io/last-applied-configuration": json.dumps(
                            {"kind": "Deployment", "metadata": {"name": "api"}}
                        )
                    }
                },
                "spec": {"replicas": 2},
            },
            "must be the applied object, but its metadata.name differs",
        ),
    ],
)
def test_what_else_an_apply_sets_is_refused_by_name(body, says):
    verdict = ask(allow(APPLY), "PATCH", DEPLOYMENT, body, STRATEGIC)
    assert isinstance(verdict, Refused)
    assert says in verdict.reason


LAST = "kubectl.kubernetes.io/last-applied-configuration"


def noted(body, **more):
    """A patch or an object with kubectl's note of what was applied."""
    annotations = {**body.get("metadata", {}).get("annotations", {}), LAST: json.dumps(more["note"])}
    return {**body, "metadata": {**body.get("metadata", {}), "annotations": annotations}}


def manifest(**spec):
    """What a file says about the deployment."""
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def file(**spec):
    """A file as kubectl notes it."""
    return {**manifest(**spec), "metadata": {"annotations": {}, "name": "web", "namespace": "shop"}}


def test_what_kubectl_notes_of_an_apply_is_what_the_object_will_be():
    compiled = allow(APPLY)
    template = {"spec": {"containers": [{"name": "app", "image": "a:0"}]}}
    for note in (
        file(replicas=2),
        file(replicas=2, template=template),
        file(replicas=2, template={"metadata": {"creationTimestamp": None}}),
    ):
        good = ask(compiled, "PATCH", DEPLOYMENT, noted({"spec": {"replicas": 2}}, note=note), STRATEGIC)
        assert isinstance(good, Allowed), good
        assert good.line == "apply deployment/web spec.replicas=2 -n shop"


@pytest.mark.parametrize(
    ("note", "where"),
    [
        (file(replicas=3), "spec.replicas"),
        (file(replicas=2, paused=True), "spec.paused"),
        (file(replicas="2"), "spec.replicas"),
        ({**file(replicas=2), "kind": "Job"}, "kind"),
        ({**file(replicas=2), "said": "rm -rf /"}, "said"),
        (
            file(replicas=2, template={"spec": {"containers": [{"name": "new", "image": "a:0"}]}}),
            "spec.template.spec.containers",
        ),
        (
            file(replicas=2, template={"spec": {"containers": [{"name": "app", "image": "evil"}]}}),
            "spec.template.spec.containers[app].image",
        ),
        (file(replicas=2, template={"spec": {"containers": []}}), "spec.template.spec.containers"),
        (
            {**file(replicas=2), "metadata": {"name": "web", "annotations": {"told": "me"}}},
            "metadata.annotations.told",
        ),
    ],
)
def test_a_note_that_says_something_else_is_refused_by_name(note, where):
    verdict = ask(allow(APPLY), "PATCH", DEPLOYMENT, noted({"spec": {"replicas": 2}}, note=note), STRATEGIC)
    assert isinstance(verdict, Refused)
    assert (
        f"metadata.annotations[{LAST}] must be the applied object, but its {where} differs" in verdict.reason
    )


@pytest.mark.parametrize("text", ["free text", "[]", "[" * 100_000, '{"a":1,"a":1}', 5, None])
def test_a_note_that_is_no_object_is_refused(text):
    body = {"metadata": {"annotations": {LAST: text}}, "spec": {"replicas": 2}}
    verdict = ask(allow(APPLY), "PATCH", DEPLOYMENT, body, STRATEGIC)
    assert f"metadata.annotations[{LAST}] is not an object" in verdict.reason


def test_the_note_of_an_object_that_is_created_is_that_object_itself():
    compiled = allow({"apply": MAP_RULE})
    named = {**MAP, "metadata": {**MAP["metadata"], "annotations": {}}}

    def created(note):
        return ask(compiled, "POST", CONFIG, noted(MAP, note=note), target=None)

    assert created(named).line == "apply configmaps name=a data.key=x -n shop"
    for note in (
        {**named, "data": {"key": "y"}},
        {**named, "data": {}},
        {**named, "more": 1},
        {"kind": "ConfigMap"},
    ):
        assert f"metadata.annotations[{LAST}] must be the applied object" in created(note).reason


def replaced(change, *, rule=APPLY, target=THERE):
    body = copy.deepcopy(THERE)
    change(body)
    return ask(
        allow(rule),
        "PUT",
        f"{DEPLOYMENT}?fieldManager=kubectl-replace&fieldValidation=Strict",
        body,
        target=target,
    )


def scaled(body):
    body["spec"]["replicas"] = 3


def test_an_object_is_replaced_by_one_that_differs_only_in_listed_fields():
    asked = replaced(scaled, target=None)
    assert asked.code == "target"
    good = replaced(scaled)
    assert (good.line, good.version) == ("apply deployment/web spec.replicas=3 -n shop", "7")

    def more(body):
        scaled(body)
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "a:2"
        del body["metadata"]["resourceVersion"], body["metadata"]["uid"]
        body["metadata"] |= {"labels": {"example.com/tier": "gold"}, "creationTimestamp": None}
        body["status"] = {"replicas": 9}

    verdict = replaced(more)
    assert isinstance(verdict, Allowed), verdict
    assert verdict.argv == (
        "apply",
        "deployment/web",
        "metadata.labels[example.com/tier]=gold",
        "spec.replicas=3",
        "spec.template.spec.containers[app].image=a:2",
        "-n",
        "shop",
    )


def pod(body):
    return body["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: None, "it sets none of the fields in the command"),
        (lambda body: body["spec"].update(replicas=9), "spec.replicas needs a number"),
        (lambda body: body["spec"].pop("replicas"), "spec.replicas must be a number"),
        (lambda body: body["spec"].update(paused=True), "it sets spec.paused"),
        (lambda body: body.pop("spec"), "it sets spec, which"),
        (lambda body: pod(body).pop("initContainers"), "it sets spec.template.spec.initContainers"),
        (
            lambda body: pod(body)["containers"].append({"name": "new", "image": "a:1"}),
            "it sets spec.template.spec.containers, which",
        ),
        (lambda body: pod(body)["containers"].reverse(), "it sets spec.template.spec.containers, which"),
        (lambda body: pod(body)["containers"][0].update(image="evil"), "containers[app].image"),
        (lambda body: body["metadata"].update(uid="u-2"), "only the API server may write metadata.uid"),
        (lambda body: body["metadata"].update(labels={"a": "b"}), "it sets metadata.labels.a"),
        (lambda body: body["metadata"].update(labels={"a": None}), "metadata.labels.a is null"),
        (lambda body: body["metadata"].update(name="api"), "metadata.name must be `web`"),
        (lambda body: body.update(kind="Job"), "kind must be"),
        (
            lambda body: body["metadata"].update(annotations={LAST: "{}"}),
            "must be the applied object",
        ),
        (
            lambda body: body["metadata"].update(managedFields=[]),
            "only the API server may write metadata.managedFields",
        ),
    ],
)
def test_whatever_else_a_replacement_changes_is_refused_by_name(change, says):
    def both(body):
        if "none of" not in says:
            scaled(body)
        change(body)

    verdict = replaced(both)
    assert isinstance(verdict, Refused)
    assert says in verdict.reason


def test_what_is_not_there_is_not_replaced():
    assert "web does not exist" in replaced(scaled, target={}).reason


def test_an_apply_adds_no_container_either():
    def sent(name, media_type=STRATEGIC, rule=APPLY, query=""):
        containers = [{"image": "a:2", "name": name}]
        body = manifest(template={"spec": {"containers": containers}})
        return ask(allow(rule), "PATCH", f"{DEPLOYMENT}{query}", body, media_type)

    new = json.loads(json.dumps(APPLY).replace("containers[app]", "containers[new]"))
    manager = {**new, "apply": {**new["apply"], "server_side": "bot"}}
    assert sent("app").version == "7"
    for one in (sent("new", rule=new), sent("new", SERVER_SIDE, manager, "?fieldManager=bot")):
        assert "web has no spec.template.spec.containers[new], and the command must not add one" in one.reason


@pytest.mark.parametrize(
    ("rule", "manager", "target", "says"),
    [
        ({"server_side": "bot"}, "bot", THERE, None),
        ({"server_side": "bot"}, "argocd", THERE, "fieldManager must be `bot`"),
        ({}, "bot", THERE, "--server-side"),
        ({"server_side": "bot"}, "bot", {}, "web does not exist"),
        ({"server_side": "bot", "create": True}, "bot", {}, None),
    ],
    ids=[
        "its manager",
        "another manager",
        "a rule without one",
        "creating what is not there",
        "a rule that creates",
    ],
)
def test_a_server_side_apply_needs_the_manager_of_its_rule_and_creates_only_where_it_says_so(
    rule, manager, target, says
):
    compiled = allow({**APPLY, "apply": {**APPLY["apply"], **rule}})
    verdict = ask(
        compiled,
        "PATCH",
        f"{DEPLOYMENT}?fieldManager={manager}&force=true",
        manifest(replicas=2),
        SERVER_SIDE,
        target=target,
    )
    assert says is None if isinstance(verdict, Allowed) else (says or "allowed") in verdict.reason, verdict


MAP_RULE = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "namespaces": ["shop"],
    "fields": {"data.key": {"name": 5}},
    "create": True,
}
MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "shop"},
    "data": {"key": "x"},
}


def test_an_object_is_created_only_where_the_rule_says_so_and_only_under_its_names():
    assert isinstance(ask(allow({"apply": {**MAP_RULE, "create": False}}), "POST", CONFIG, MAP), Refused)
    compiled = allow({"apply": {**MAP_RULE, "names": ["a"]}})
    assert ask(compiled, "POST", CONFIG, MAP).line == "apply configmaps name=a data.key=x -n shop"
    assert isinstance(decide(compiled, "apply configmaps name=a data.key=x -n shop"), Allowed)
    assert (
        "metadata.name is not one of the names"
        in ask(compiled, "POST", CONFIG, {**MAP, "metadata": {"name": "b"}}).reason
    )


def test_the_strictest_of_several_commands_decides_a_request():
    free, held = (
        {"run": "delete pod {pod} -n shop", "where": {"pod": {"pattern": one}}}
        for one in ("web-.*", "web-[0-9]")
    )
    verdict = ask(allow(free, {**held, "hold": True}), "DELETE", POD)
    assert (verdict.index, verdict.hold) == (1, True)


def test_what_approvers_left_out_is_told_from_what_was_never_there():
    compiled = compile_set(document("delete pod web-1 -n shop", "get pods -n shop"), {}, keep={1})
    assert ask(compiled, "DELETE", POD).code == "left_out"
    assert ask(compiled, "DELETE", "/api/v1/namespaces/shop/pods/web-2").code == "right"
    assert ask(allow(SCALE), "PATCH", f"{DEPLOYMENT}/scale", {"spec": {"replicas": 9}}, MERGE).code == "value"


def test_an_object_that_is_chosen_at_each_run_is_any_to_rbac_and_compared_here():
    compiled = allow({"run": "delete pod {pod} -n shop", "where": PODS})
    assert {rule.names for rules in compiled.rules().values() for rule in rules} == {()}
    assert isinstance(ask(compiled, "DELETE", "/api/v1/namespaces/shop/pods/api-1"), Refused)


@pytest.mark.parametrize(
    ("command", "limits"),
    [
        (SCALE, "replicas"),
        ("set image deployment/web -n shop app=a:1", "set image"),
        (EXEC, "program and names"),
        (APPLY, "fields"),
        ("port-forward pod/web-1 80 -n shop", "ports"),
        ({"run": "get pods -n shop", "hold": True}, "hold"),
        ({"run": "delete pod {pod} -n shop", "where": PODS}, "names"),
        ("rollout restart deployment/web -n shop", "rollout restart"),
        ("logs web-1 -c app -n shop", "container"),
        ("label pod web-1 -n shop a=b", "label"),
        ("cordon node-1", "cordon"),
    ],
)
def test_a_cluster_that_is_reached_directly_takes_no_limit_that_rbac_can_not_enforce(command, limits):
    compiled = allow(command)
    assert compiled.off_limits({}) is None
    why = compiled.off_limits({"direct": True})
    assert why is not None
    assert why.startswith(f"limits {limits} in `")


@pytest.mark.parametrize(
    "command",
    [
        "get pods -n shop",
        "logs -n shop",
        "scale deployment/web -n shop",
        "delete pod web-1 -n shop",
        "get pods -n shop -w",
        {
            "rule": {
                "verbs": ["patch"],
                "groups": ["apps"],
                "resources": ["deployments"],
                "namespaces": ["shop"],
            }
        },
    ],
)
def test_a_cluster_that_is_reached_directly_takes_what_rbac_says(command):
    assert allow(command).off_limits({"direct": True}) is None


def test_approvers_read_that_a_program_is_not_contained():
    view = describe(allow({**EXEC, "contain": "none", "end": {"finish": "5m"}}))[0]
    assert (view.contain, view.finish_seconds) == ("none", 300)
    assert any("can outlive the grant" in line for line in view.detail)
    verdict = run(allow({**EXEC, "contain": "none"}), "tail", "-n", "5", "/var/log/a.log", container="app")
    assert verdict.contain == "none"


@pytest.mark.parametrize("field", [{"contain": "none"}, {"end": {"finish": "5m"}}])
def test_only_exec_has_processes_that_are_contained_or_may_finish(field):
    with pytest.raises(DocumentError, match="only for `exec`"):
        document({"run": "get pods -n shop", **field})


WIDER = [
    (SCALE, {**SCALE, "where": {"n": {"int": [1, 6]}}}),
    (EXEC, {**EXEC, "where": {**PODS, "n": {"int": [1, 10]}}}),
    (EXEC, {**EXEC, "run": EXEC["run"].replace("-c app", "-c app -i")}),
    (EXEC, {**EXEC, "contain": "none"}),
    (EXEC, {**EXEC, "end": {"finish": "1m"}}),
    ({**SCALE, "hold": True}, SCALE),
    (SCALE, "scale deployment/web -n shop"),
    ("set image deployment/web -n shop app=a:1", "set image deployment/web -n shop app=a:2"),
    ("set image deployment/web -n shop app=a:1", "set image deployment/web -n shop app=a:1 side=a:1"),
    ("port-forward pod/web-1 80 -n shop", "port-forward pod/web-1 80 81 -n shop"),
    ("logs -n shop", "logs -n shop -f"),
    ("logs -n shop -c app", "logs -n shop"),
    ("delete pod web-1 -n shop", "delete pod web-1 -n shop --grace-period 0"),
    (APPLY, {**APPLY, "apply": {**APPLY["apply"], "server_side": "m"}}),
    (APPLY, {**APPLY, "apply": {**APPLY["apply"], "create": True}}),
    (
        "get pods -n shop",
        {"rule": {"verbs": ["get"], "groups": [""], "resources": ["pods/log"], "namespaces": ["shop"]}},
    ),
    (
        SCALE,
        {
            "rule": {
                "verbs": ["patch"],
                "groups": ["apps"],
                "resources": ["deployments/scale"],
                "namespaces": ["shop"],
            }
        },
    ),
]


@pytest.mark.parametrize(("narrow", "wide"), WIDER)
def test_a_delegation_may_carry_no_more_than_its_grant(narrow, wide):
    assert covers(allow(narrow), allow(narrow)) is None
    assert covers(allow(narrow), allow(wide)) is not None


def test_a_scale_to_any_number_takes_whole_numbers_alone():
    compiled = allow("scale deployment/web -n shop")
    assert isinstance(
        ask(compiled, "PATCH", f"{DEPLOYMENT}/scale", {"spec": {"replicas": 0}}, MERGE), Allowed
    )
    for wrong in (-1, "3", True, 2**31):
        verdict = ask(compiled, "PATCH", f"{DEPLOYMENT}/scale", {"spec": {"replicas": wrong}}, MERGE)
        assert "must be a whole number, 0 or higher" in verdict.reason


def test_a_name_with_a_free_part_is_within_one_whose_part_takes_more():
    wide, narrow = (
        allow({"run": "delete pod web-{a} -n shop", "where": {"a": {"pattern": one}}})
        for one in ("[a-z]+", "[a-z]")
    )
    assert covers(wide, wide) is None
    assert covers(narrow, wide) is not None


def test_a_held_restart_beside_a_free_undo_is_within_itself():
    held = {"run": "rollout restart deployment/web -n shop", "hold": True}
    both = allow(held, "rollout undo deployment/web -n shop")
    assert covers(both, both) is None
    assert covers(both, allow({**held, "hold": False}, "rollout undo deployment/web -n shop")) is not None


def test_every_set_is_within_itself_however_its_commands_overlap():
    names = {"where": {"pod": {"pattern": "web-.*"}}}
    held = {"run": "delete pod {pod} -n shop", **names, "hold": True}
    free = {"run": "delete pod {pod} -n shop", "where": {"pod": {"pattern": "web-[0-9]"}}}
    assert covers(allow(held, free), allow(held, free)) is None
    assert covers(allow(held, free), allow(free)) is not None
    narrower = {**held, "where": {"pod": {"choice": ["web-1"]}}}
    assert covers(allow(held, free), allow(narrower, free)) is not None


def test_before_a_grant_any_release_could_be_set():
    compiled = compile_open(document("set image deployment/web -n shop app=a:{release}", parameters=RELEASE))
    verdict = ask(compiled, "PATCH", DEPLOYMENT, images("a:v9"), STRATEGIC)
    assert isinstance(verdict, Allowed)
    assert verdict.matched == {"release": "v9"}


SWITCHES = {
    "stdin": "exec",
    "tty": "exec",
    "stdout": "exec",
    "stderr": "exec",
    "follow": "log",
    "previous": "log",
    "timestamps": "log",
}


@pytest.mark.parametrize("value", [None, "", "True", "FALSE", "t", "true", "false", "0", "1"])
@pytest.mark.parametrize("key", SWITCHES)
def test_a_switch_is_read_as_the_api_server_reads_it_or_refused(key, value):
    compiled = allow("exec -i -t web-1 -c app -n shop -- psql", "logs web-1 -n shop -c app -f")
    pairs = "container=app" + ("&command=psql" if SWITCHES[key] == "exec" else "")
    pairs += "" if value is None else f"&{key}={value}"
    verdict = ask(compiled, "GET", f"{POD}/{SWITCHES[key]}?{pairs}")
    if value in ("", "True", "FALSE", "t"):
        assert isinstance(verdict, Refused), verdict
        assert f"{key} must be true or false" in verdict.reason
        return
    words = {"stdin": "-i", "tty": "-t", "follow": "-f", "previous": "--previous"}
    assert isinstance(verdict, Allowed), verdict
    if key in words:
        assert (words[key] in verdict.argv) is on({key: [value]} if value is not None else {}, key)


PLACES = {"a": {"pattern": "[a-z0-9:-]+"}, "b": {"pattern": "(x+x+)+y"}}


@pytest.mark.timing
@pytest.mark.parametrize(
    ("line", "method", "url", "body"),
    [
        ("get pod {a}-{b} -n shop", "GET", "/api/v1/namespaces/shop/pods/a" + "-" * 252, None),
        ("get pod {a}-{b} -n shop", "GET", "/api/v1/namespaces/shop/pods/" + "a-" * 30_000, None),
        ("get pod web-1 -n {a}-{b}", "GET", f"/api/v1/namespaces/{'a-' * 30_000}/pods/web-1", None),
        (
            "set image deployment/web -n shop app=reg/{a}",
            "PATCH",
            DEPLOYMENT,
            images("reg/" + "a" * 3_000_000),
        ),
        ("set image deployment/web -n shop app={a}:{b}", "PATCH", DEPLOYMENT, images("a" + ":" * 3_000_000)),
        ("set image deployment/web -n shop app={a}:{b}", "PATCH", DEPLOYMENT, images("a" + ":" * 511)),
        ("set image deployment/web -n shop app={a}:{b}/x", "PATCH", DEPLOYMENT, images("a:" * 2_000 + "/x")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_no_value_takes_long_to_compare(line, method, url, body):
    used = {name: kind for name, kind in PLACES.items() if f"{{{name}}}" in line}
    compiled = compile_open(document(line, parameters=used))

    def spent() -> float:
        began = time.thread_time()
        with contextlib.suppress(RuleRefused):
            assert isinstance(ask(compiled, method, url, body, STRATEGIC), Refused)
        return time.thread_time() - began

    assert min(spent() for _ in range(3)) < allow_seconds(0.05)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("web-1", {"a": "web", "b": "1"}),
        ("web-1-2", {"a": "web-1", "b": "2"}),
        ("web", None),
        ("-1", None),
        ("web-", None),
    ],
)
def test_a_name_with_two_places_is_divided_where_the_text_between_them_is(name, values):
    types = {one: Pattern(pattern="[a-z0-9-]+") for one in "ab"}
    assert match((Slot("a"), "-", Slot("b")), name, types, {}) == values


CONFIG = "/api/v1/namespaces/shop/configmaps"
PROXY = "/api/v1/namespaces/shop/services/api/proxy"


def config(text):
    return {"metadata": {"name": "c"}, "data": {"a": text}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("POST", CONFIG, config("x")), ("POST", CONFIG, config("y"))),
        (("POST", CONFIG, {"metadata": {"name": "c"}}), ("POST", CONFIG, {"metadata": {"name": "d"}})),
        (("POST", CONFIG, config("x")), ("POST", f"{CONFIG}?fieldManager=a", config("x"))),
        (("PATCH", f"{CONFIG}/c", config("x"), MERGE), ("PATCH", f"{CONFIG}/c", config("x"), STRATEGIC)),
        (("DELETE", f"{CONFIG}?labelSelector=a%3Db"), ("DELETE", f"{CONFIG}?labelSelector=a%3Dc")),
        (("GET", f"{CONFIG}?labelSelector=a%3Db"), ("GET", f"{CONFIG}?labelSelector=a%3Dc")),
        (("POST", f"{PROXY}/admin/drop"), ("POST", f"{PROXY}/admin/list")),
        (("GET", f"{PROXY}/admin"), ("GET", f"{PROXY}/admin?limit=5")),
        (("POST", PROXY), ("POST", PROXY, {})),
    ],
)
def test_requests_of_a_rule_that_differ_are_never_recorded_as_the_same(one, other):
    rule = {
        "verbs": ["*"],
        "groups": [""],
        "resources": ["configmaps", "services/proxy"],
        "namespaces": ["shop"],
    }
    compiled = allow({"rule": rule})
    first, second = ask(compiled, *one), ask(compiled, *other)
    assert isinstance(first, Allowed), first
    assert isinstance(second, Allowed), second
    assert first.argv != second.argv


def test_a_line_with_a_digest_is_not_taken_for_one_that_can_be_run():
    rule = {"verbs": ["create"], "groups": [""], "resources": ["configmaps"], "namespaces": ["shop"]}
    compiled = allow({"rule": rule})
    made = ask(compiled, "POST", CONFIG, config("x"))
    data = json.dumps(config("x")).encode()
    assert made.argv[-2:] == ("--name=c", f"--body=sha256:{hashlib.sha256(data).hexdigest()},{len(data)}")
    assert isinstance(decide(compiled, made.line), Refused)


@pytest.mark.parametrize(
    ("command", "fits"),
    [
        ("create configmaps -n shop", False),
        ("patch,get deployment/web -n shop", False),
        ("list,watch pods -n shop", True),
        (
            {
                "rule": {
                    "verbs": ["get"],
                    "groups": [""],
                    "resources": ["services/proxy"],
                    "namespaces": ["shop"],
                }
            },
            False,
        ),
        ({"rule": {"verbs": ["*"], "groups": [""], "resources": ["secrets"], "namespaces": ["shop"]}}, False),
        (
            {"rule": {"verbs": ["get"], "groups": [""], "resources": ["secrets"], "namespaces": ["shop"]}},
            True,
        ),
        ("rollout restart deployment/web -n shop", True),
    ],
    ids=str,
)
def test_only_what_a_second_person_sees_in_full_can_be_held(command, fits):
    held = {**(command if isinstance(command, dict) else {"run": command}), "hold": True}
    if fits:
        assert document(held)
        return
    with pytest.raises(DocumentError, match="a second person can't see what an API verb"):
        document(held)


def maps_in(value):
    """Every map in a value, itself included."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from maps_in(one)


@pytest.mark.parametrize("key", ["evil", "creationTimestamp"])
def test_an_undo_with_one_null_more_is_refused(key):
    spec = {**TEMPLATE["spec"], "nodeSelector": {"disk": "ssd"}, "volumes": [{"name": "a", "emptyDir": {}}]}
    template = {**TEMPLATE, "spec": spec}
    kept = {"deployment.kubernetes.io/revision": "3"}
    count = len(list(maps_in([template, kept])))
    assert count > 7
    for number in range(count):
        forged = copy.deepcopy([template, kept])
        place = list(maps_in(forged))[number]
        place[key] = None
        verdict = undo(*forged, OWNER, revision(template))
        # Go writes it there itself.
        dated = key == "creationTimestamp" and place is forged[0]["metadata"]
        assert isinstance(verdict, Allowed if dated else Refused), place


@pytest.mark.parametrize("ports", ["%C2%B2", "%D9%A3", "9" * 5000, "8080,", "-1"])
def test_what_is_no_port_is_refused(ports):
    compiled = allow("port-forward pod/web-1 -n shop 8080")
    assert isinstance(ask(compiled, "GET", f"{POD}/portforward?ports={ports}"), Refused)


OWN_REVIEWS = [
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
]


@pytest.mark.parametrize("path", OWN_REVIEWS)
def test_every_grant_may_ask_who_its_account_is_and_what_it_may_do_whatever_the_body(path):
    compiled = allow("get pods -n shop")
    for body in (None, {"spec": {}}):
        answer = ask(compiled, "POST", path, body)
        assert isinstance(answer, Allowed)
        assert (answer.poll, answer.argv) == (True, ("create", path.rpartition("/")[2]))
    for method, other in (
        ("POST", f"{path}?fieldManager=x"),
        ("GET", path),
        ("POST", f"{path}/web"),
        ("POST", path.replace("/self", "/")),
        ("POST", path.replace("/v1/", "/v1/namespaces/shop/")),
    ):
        assert isinstance(ask(compiled, method, other, {}), Refused), other

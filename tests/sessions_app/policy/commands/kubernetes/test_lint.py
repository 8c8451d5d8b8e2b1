"""The linter refuses what gives others' rights away, and warns of what RBAC can't hold back."""

from __future__ import annotations

import pytest

from sessions_app.policy.commands.kinds import lint, parse_document


def found(command, *, parameters=None, **more):
    written = {"run": command} if isinstance(command, str) else {"rule": command}
    document = parse_document({
        "name": "a", "kind": "kubernetes", "summary": "s", "risk": "low", "parameters": parameters or {},
        "commands": [{**written, "effect": "destructive", **more}],
        "examples": {"allow": ["x"], "refuse": ["y"]},
    })  # fmt: skip
    return {(one.severity, one.code) for one in lint(document)}


def rule(verbs, resources, groups=("",), **more):
    return {
        "verbs": verbs,
        "groups": list(groups),
        "resources": resources,
        **(more or {"namespaces": ["web"]}),
    }


RBAC = "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (rule(["*"], ["pods"]), "wildcard"), (rule(["get"], ["*"]), "wildcard"), (rule(["get"], ["pods"], ["*"]), "wildcard"),
        (rule(["get"], ["*/log"]), "wildcard"),
        (rule(["escalate"], ["roles"], [RBAC]), "escalation"), (rule(["bind"], ["roles"], [RBAC]), "escalation"),
        (rule(["impersonate"], ["serviceaccounts"]), "escalation"), (rule(["create"], ["rolebindings"], [RBAC]), "escalation"),
        (rule(["patch"], ["roles"], [RBAC]), "escalation"),
        (rule(["create"], ["serviceaccounts/token"]), "off_limits"), (rule(["create"], ["secrets"]), "off_limits"),
        (rule(["create"], ["serviceaccounts/token"], cluster=True), "off_limits"),
    ],
)  # fmt: skip
def test_what_gives_away_everything_can_not_be_published(command, code):
    assert ("error", code) in found(command)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("get secrets -n web", "secrets"), ("get secret/a -n web", "secrets"), ("exec a -n web", "into_pods"),
        ("attach a -n web", "into_pods"), ("port-forward a -n web", "into_pods"),
        (rule(["get"], ["nodes/proxy"], cluster=True), "past_rbac"),
        (rule(["patch"], ["pods/ephemeralcontainers"]), "into_pods"),
        ("create pods -n web", "workload"), ("rollout restart deployment/a -n web", "workload"),
        (rule(["create"], ["cronjobs"], ["batch"]), "workload"), ("get pods -A", "whole_cluster"),
        ("get pods -n kube-system", "whole_cluster"), ("delete pods -n web", "any_object"), ("get pods -n web -w", "stream"),
        (rule(["create"], ["serviceaccounts"]), "decides_more"), (rule(["patch"], ["serviceaccounts"]), "decides_more"),
        (rule(["create"], ["persistentvolumes"], cluster=True), "decides_more"),
        (rule(["create"], ["persistentvolumeclaims"]), "decides_more"),
        (rule(["patch"], ["namespaces"], cluster=True, names=["web"]), "decides_more"), (rule(["patch"], ["nodes"], cluster=True), "decides_more"),
        ("cordon node-1", "decides_more"), ("label nodes node-1", "decides_more"),
        (rule(["create"], ["pods/eviction"]), "into_pods"), (rule(["create"], ["pods/eviction"]), "any_object"),
        ("create workflows.argoproj.io -n web", "workload"), ("create pipelineruns.tekton.dev -n web", "workload"),
        ("patch scaledjobs.keda.sh -n web", "workload"), ("create jobs.batch.volcano.sh -n web", "workload"),
        ("patch widgets.example.com -n web", "unknown_resource"),
        (rule(["update"], ["mutatingwebhookconfigurations"], ["admissionregistration.k8s.io"], cluster=True), "past_rbac"),
        (rule(["update"], ["apiservices"], ["apiregistration.k8s.io"], cluster=True, names=["a"]), "decides_more"),
        (rule(["update"], ["customresourcedefinitions"], ["apiextensions.k8s.io"], cluster=True, names=["a"]), "decides_more"),
        (rule(["update"], ["validatingadmissionpolicies"], ["admissionregistration.k8s.io"], cluster=True, names=["a"]), "decides_more"),
        (rule(["patch"], ["services"]), "decides_more"), (rule(["patch"], ["endpoints"]), "decides_more"),
        (rule(["patch"], ["endpointslices"], ["discovery.k8s.io"]), "decides_more"), (rule(["patch"], ["ingresses"], ["networking.k8s.io"]), "decides_more"),
        (rule(["delete", "patch"], ["networkpolicies"], ["networking.k8s.io"], names=["a"], namespaces=["web"]), "decides_more"),
        (rule(["update"], ["nodes/status"], cluster=True), "unknown_resource"), (rule(["create"], ["pods/binding"]), "unknown_resource"),
        (rule(["get"], ["pods/log"], cluster=True), "whole_cluster"), (rule(["get"], ["nodes/log"], cluster=True), "past_rbac"),
    ],
)  # fmt: skip
def test_what_rbac_can_not_hold_back_has_to_be_accepted_with_a_reason(command, code):
    assert ("warning", code) in found(command)
    assert not any(severity == "error" for severity, _ in found(command))


@pytest.mark.parametrize(
    "command", ["get pods -n web", "logs -n web", "scale deployment/a -n web", "get nodes", "delete pod/a -n web",
                "get roles.rbac.authorization.k8s.io -n web", rule(["update"], ["configmaps"])]
)  # fmt: skip
def test_what_is_harmless_is_let_through(command):
    assert found(command) == set()


@pytest.mark.parametrize(
    ("command", "effect", "wrong"),
    [("delete pod/a -n web", "change", True), ("delete pod/a -n web", "destructive", False), ("get pods -n web", "read", False),
     ("scale deployment/a -n web", "read", True), ("scale deployment/a -n web", "change", False)],
)  # fmt: skip
def test_an_effect_says_no_less_than_the_verbs(command, effect, wrong):
    assert (("error", "effect") in found(command, effect=effect)) is wrong


OPEN = [
    {"name": 63},
    {"pattern": "[a-z-]+"},
    {"pattern": "stint-[a-z]+"},
    {"from": "workflow.service"},
    {"choice": ["web", "stint-grants"]},
]


@pytest.mark.parametrize("verb", ["get pods", "logs", "scale deployment/a"])
@pytest.mark.parametrize("namespace", ["stint-system", "stint-grants"])
def test_namespaces_of_stints_own_can_not_be_published(verb, namespace):
    assert ("error", "off_limits") in found(f"{verb} -n {namespace}")
    assert ("error", "off_limits") in found(f"{verb} -n web,{namespace}")


@pytest.mark.parametrize("verb", ["delete", "patch", "update", "deletecollection"])
@pytest.mark.parametrize(
    "more", [{"names": ["stint-system"]}, {"names": ["web", "stint-grants"]}, {"names": ["{ns}"]}, {}]
)
def test_namespaces_of_stints_own_are_not_changed_as_objects_either(verb, more):
    parameters = {"ns": {"name": 63}} if more.get("names") == ["{ns}"] else {}
    command = rule([verb], ["namespaces"], cluster=True, **(more if verb != "deletecollection" else {}))
    used = parameters if "{ns}" in str(command) else {}
    assert ("error", "off_limits") in found(command, parameters=used)
    assert ("error", "off_limits") not in found(rule(["delete"], ["namespaces"], cluster=True, names=["web"]))


@pytest.mark.parametrize(
    ("verbs", "resource"),
    [(["update"], "certificatesigningrequests/approval"), (["patch"], "certificatesigningrequests/approval"),
     (["patch"], "certificatesigningrequests/status"), (["approve"], "signers"), (["sign"], "signers")],
)  # fmt: skip
def test_a_certificate_that_outlives_the_grant_is_approved_by_nobody(verbs, resource):
    command = rule(verbs, [resource], ["certificates.k8s.io"], cluster=True, names=["a"])
    assert ("error", "off_limits") in found(command)


@pytest.mark.parametrize("type_", OPEN)
def test_a_free_namespace_that_could_be_stints_own_can_not_be_published(type_):
    assert ("error", "off_limits") in found("get pods -n {ns}", parameters={"ns": type_})


@pytest.mark.parametrize(
    "type_",
    [{"choice": ["web"]}, {"pattern": "team-[a-z]+"}, {"pattern": "pr-[0-9]+", "from": "workflow.number"}],
)
def test_a_namespace_of_ones_own_word_is_let_through(type_):
    assert found("get pods -n {ns}", parameters={"ns": type_}) == set()


def test_part_of_a_namespace_is_looked_at_with_the_rest_of_it():
    assert ("error", "off_limits") in found("get pods -n stint-{x}", parameters={"x": {"name": 20}})
    assert found("get pods -n web-{x}", parameters={"x": {"name": 20}}) == set()


@pytest.mark.parametrize("command", ["get secrets -A", "exec a -A", "delete pods -A", "rollout restart deployment/a -A",
                                     rule(["get"], ["pods/exec"], cluster=True), rule(["create"], ["configmaps"], cluster=True)])  # fmt: skip
def test_a_right_to_every_namespace_that_does_more_than_look_reaches_stints_own(command):
    assert ("error", "off_limits") in found(command)


@pytest.mark.parametrize(
    "resource", ["pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy"]
)
@pytest.mark.parametrize("verbs", [["get"], ["get", "create"]])
def test_to_get_what_opens_a_door_is_not_to_read(resource, verbs):
    assert ("error", "effect") in found(rule(verbs, [resource]), effect="read")
    assert ("error", "effect") not in found(rule(verbs, [resource]), effect="change")


def test_to_get_a_nodes_proxy_is_not_to_read():
    assert ("error", "effect") in found(rule(["get"], ["nodes/proxy"], cluster=True), effect="read")


def test_an_eviction_is_told_as_destroying():
    assert ("error", "effect") in found(rule(["create"], ["pods/eviction"]), effect="change")


def test_kube_system_is_named_also_among_choices():
    assert ("warning", "whole_cluster") in found(
        "get pods -n {ns}", parameters={"ns": {"choice": ["web", "kube-system"]}}
    )

"""The linter refuses what gives others' rights away, and warns of what RBAC can't hold back."""

from __future__ import annotations

import pytest

from sessions_app.policy.commands.kinds import lint, parse_document


def found(command, **more):
    written = {"run": command} if isinstance(command, str) else {"rule": command}
    document = parse_document({
        "name": "a", "kind": "kubernetes", "summary": "s", "risk": "low",
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
    ],
)  # fmt: skip
def test_what_gives_away_everything_can_not_be_published(command, code):
    assert ("error", code) in found(command)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("get secrets -n web", "secrets"), ("get secret/a -n web", "secrets"), ("exec a -n web", "into_pods"),
        ("attach a -n web", "into_pods"), ("port-forward a -n web", "into_pods"),
        (rule(["create"], ["serviceaccounts/token"]), "past_rbac"), (rule(["get"], ["nodes/proxy"], cluster=True), "past_rbac"),
        (rule(["patch"], ["pods/ephemeralcontainers"]), "into_pods"),
        ("create pods -n web", "workload"), ("rollout restart deployment/a -n web", "workload"),
        (rule(["create"], ["cronjobs"], ["batch"]), "workload"), ("get pods -A", "whole_cluster"),
        ("get pods -n kube-system", "whole_cluster"), ("delete pods -n web", "any_object"), ("get pods -n web -w", "stream"),
        (rule(["update"], ["mutatingwebhookconfigurations"], ["admissionregistration.k8s.io"], cluster=True), "past_rbac"),
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

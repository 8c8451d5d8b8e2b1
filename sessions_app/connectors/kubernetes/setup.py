"""The one-time setup that a cluster's administrator applies: Stint's own account, with no more permissions
than it needs.

An API server lets no one grant permissions that they do not have themselves, except with `escalate` and
`bind`. Stint has neither verb, because they amount to all permissions on the cluster. Instead, Stint's
account has a ceiling: the union of what its command sets can grant. So the cluster itself refuses everything
above the ceiling, even to someone who stole Stint's token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from sessions_app.connectors.kubernetes.objects import GROUP
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS, OWN_NAMESPACE
from sessions_app.policy.commands.kubernetes.rights import PolicyRule

OWN_NAME = "stint"
ANYWHERE = "*"
Rules = Mapping[str, Sequence[PolicyRule]]

_LOOK = (
    PolicyRule(("get", "list"), (GROUP,), ("roles", "rolebindings", "clusterroles", "clusterrolebindings")),
    PolicyRule(("create",), ("authorization.k8s.io",), ("subjectaccessreviews",)),
    PolicyRule(("create",), ("authentication.k8s.io",), ("tokenreviews",)),
)
_ACCOUNTS = (
    PolicyRule(("get", "list", "create", "delete"), ("",), ("serviceaccounts",)),
    PolicyRule(("create",), ("",), ("serviceaccounts/token",)),
)
_GIVE = (PolicyRule(("create", "delete"), (GROUP,), ("roles", "rolebindings")),)
_GIVE_EVERYWHERE = (PolicyRule(("create", "delete"), (GROUP,), ("clusterroles", "clusterrolebindings")),)


def ceiling(
    sets: Iterable[CompiledSet], namespaces: Sequence[str] | None = None
) -> dict[str, tuple[PolicyRule, ...]]:
    """Return the union of what the sets can grant, by namespace ("": the whole cluster, `ANYWHERE`:
    any one namespace).

    ``sets`` are compiled without values. An open name means any name. An open namespace means each of
    ``namespaces``, or any namespace if ``namespaces`` is empty.
    """
    found: dict[str, dict[PolicyRule, None]] = {}
    for one in sets:
        for written, rules in one.rules().items():
            where = [written] if "{" not in written else list(namespaces or [ANYWHERE])
            for namespace in where:
                found.setdefault(namespace, {}).update(dict.fromkeys(map(_any_name, rules)))
    return {namespace: tuple(rules) for namespace, rules in sorted(found.items())}


def _any_name(rule: PolicyRule) -> PolicyRule:
    return replace(rule, names=()) if any("{" in name for name in rule.names) else rule


def target_setup(rules: Rules, *, accounts: str = ACCOUNTS) -> str:
    """Return the YAML to apply, with instructions for reading the token.

    ``rules`` is the result of `ceiling`. The setup can be applied repeatedly.
    """
    spaces = sorted(namespace for namespace in rules if namespace not in ("", ANYWHERE))
    documents = [
        _object("v1", "Namespace", OWN_NAMESPACE),
        _object("v1", "Namespace", accounts),
        _object("v1", "ServiceAccount", OWN_NAME, OWN_NAMESPACE),
        _object(
            "v1",
            "Secret",
            OWN_NAME,
            OWN_NAMESPACE,
            type="kubernetes.io/service-account-token",
            annotations={"kubernetes.io/service-account.name": OWN_NAME},
        ),
        *_bound("stint-accounts", accounts, _ACCOUNTS),
        *_bound("stint-look", "", _LOOK),
    ]
    if "" in rules:
        documents += _bound("stint-give", "", _GIVE_EVERYWHERE)
        documents += _bound("stint-ceiling", "", rules[""])
    if ANYWHERE in rules:
        documents += _bound("stint-give-anywhere", "", _GIVE)
        documents += _bound("stint-ceiling-anywhere", "", rules[ANYWHERE])
    for namespace in spaces:
        documents += _bound("stint-give", namespace, _GIVE)
        documents += _bound("stint-ceiling", namespace, rules[namespace])
    return _HEAD + yaml.safe_dump_all(documents, sort_keys=False, default_flow_style=None, width=110)


_HEAD = f"""\
# Apply this as an administrator of the cluster: kubectl apply -f FILE. Applying it again is safe; do so
# whenever a command set allows more than before. Then give Stint the token and the CA certificate:
#   kubectl -n {OWN_NAMESPACE} get secret {OWN_NAME} -o jsonpath='{{.data.token}}' | base64 -d
#   kubectl -n {OWN_NAMESPACE} get secret {OWN_NAME} -o jsonpath='{{.data.ca\\.crt}}' | base64 -d
# Stint can't grant more than stint-ceiling: it has neither bind nor escalate, so the API server refuses
# anything else.
"""


def _object(
    version: str,
    kind: str,
    name: str,
    namespace: str = "",
    *,
    annotations: Mapping[str, str] | None = None,
    **content: Any,
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, **({"namespace": namespace} if namespace else {})}
    if annotations:
        meta["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": meta, **content}


def _bound(name: str, namespace: str, rules: Sequence[PolicyRule]) -> list[dict[str, Any]]:
    """Return a role and its binding to Stint's account."""
    kind = "Role" if namespace else "ClusterRole"
    subject = {"kind": "ServiceAccount", "name": OWN_NAME, "namespace": OWN_NAMESPACE}
    reference = {"apiGroup": GROUP, "kind": kind, "name": name}
    return [
        _object(f"{GROUP}/v1", kind, name, namespace, rules=[rule.to_json() for rule in rules]),
        _object(f"{GROUP}/v1", f"{kind}Binding", name, namespace, roleRef=reference, subjects=[subject]),
    ]

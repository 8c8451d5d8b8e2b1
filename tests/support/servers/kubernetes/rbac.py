"""RBAC as an API server evaluates it, written from its documentation, independently of Stint.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/ (request verb and subresources,
privilege escalation prevention), plugin/pkg/auth/authorizer/rbac of Kubernetes for the order of evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attributes:
    """The attributes of a request. `namespace` is empty for a cluster-wide request."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""

    @property
    def combined(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass
class Rbac:
    """Decides from the stored roles and bindings; `objects(plural)` yields those of
    rbac.authorization.k8s.io.
    """

    objects: object = field(repr=False)

    def allowed(self, user: User, asked: Attributes) -> bool:
        if "system:masters" in user.groups:
            return True
        return any(rule_fits(rule, asked) for rule in self.rules(user, asked.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[dict]:
        """Yield all rules that apply to a user in a namespace."""
        for binding in self.objects("clusterrolebindings"):
            if names(binding, user, ""):
                yield from self.role(binding["roleRef"], "")
        if namespace:
            for binding in self.objects("rolebindings"):
                if binding["metadata"]["namespace"] == namespace and names(binding, user, namespace):
                    yield from self.role(binding["roleRef"], namespace)

    def role(self, reference: dict, namespace: str) -> list[dict]:
        plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
        for role in self.objects(plural):
            meta = role["metadata"]
            if meta["name"] == reference["name"] and (
                plural == "clusterroles" or meta["namespace"] == namespace
            ):
                return role.get("rules") or []
        return []

    def missing(self, user: User, rules: list[dict], namespace: str) -> list[dict]:
        """Return the elementary rules that a user does not have, and so may not grant to others."""
        if "system:masters" in user.groups:
            return []
        held = list(self.rules(user, namespace))
        return [
            one for rule in rules for one in apart(rule) if not any(rule_covers(have, one) for have in held)
        ]


def names(binding: dict, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or []:
        kind, name = subject["kind"], subject["name"]
        if kind == "User" and name == user.name:
            return True
        if kind == "Group" and name in user.groups:
            return True
        where = subject.get("namespace") or namespace
        if kind == "ServiceAccount" and user.name == f"system:serviceaccount:{where}:{name}":
            return True
    return False


def rule_fits(rule: dict, asked: Attributes) -> bool:
    verbs, groups = rule.get("verbs", []), rule.get("apiGroups", [])
    resources, only = rule.get("resources", []), rule.get("resourceNames", [])
    if "*" not in verbs and asked.verb not in verbs:
        return False
    if "*" not in groups and asked.group not in groups:
        return False
    if not (
        "*" in resources
        or asked.combined in resources
        or (asked.subresource and f"*/{asked.subresource}" in resources)
    ):
        return False
    return not only or asked.name in only


def apart(rule: dict) -> Iterator[dict]:
    for group in rule.get("apiGroups", []):
        for resource in rule.get("resources", []):
            for verb in rule.get("verbs", []):
                for name in rule.get("resourceNames") or [None]:
                    yield {"group": group, "resource": resource, "verb": verb, "name": name}


def rule_covers(have: dict, one: dict) -> bool:
    def listed(word: str, words: list[str]) -> bool:
        return "*" in words or word in words

    sub = one["resource"].partition("/")[2]
    if not listed(one["verb"], have.get("verbs", [])) or not listed(one["group"], have.get("apiGroups", [])):
        return False
    resources = have.get("resources", [])
    if not listed(one["resource"], resources) and not (sub and f"*/{sub}" in resources):
        return False
    only = have.get("resourceNames") or []
    return not only or one["name"] in only

"""What stands on a cluster for a grant: one account, and a role and a binding for each namespace. All have one name.

Roles are a grant's own and not shared by grants with the same rules: that saves no call, and sharing would need a count
that a crash could leave wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sessions_app.connectors.base import MARK
from sessions_app.policy.commands.kubernetes.rights import PolicyRule

Data = dict[str, Any]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
MARK_LABEL, GRANT_LABEL, DIGEST = f"{MARK}/mark", f"{MARK}/grant", f"{MARK}/digest"
MANAGED = "app.kubernetes.io/managed-by"
_NAME = re.compile(rf"{MARK}-([0-9a-f]{{32}})")


def name_of(mark: str) -> str:
    """The one name of everything that stands for a grant."""
    return f"{MARK}-{mark}"


def mark_in(name: str) -> str:
    """The mark in the name of something that Stint makes; empty for any other name."""
    found = _NAME.fullmatch(name)
    return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to stand for a grant in one namespace ("": the whole cluster)."""

    mark: str
    grant_ref: str
    holder: str
    accounts: str
    namespace: str
    rules: tuple[PolicyRule, ...] = ()

    @property
    def metadata(self) -> Data:
        """Name, labels that find it, and who it is for."""
        labels = {MANAGED: MARK, MARK_LABEL: self.mark, GRANT_LABEL: self.grant_ref}
        return {"name": name_of(self.mark), "labels": labels, "annotations": {f"{MARK}/holder": self.holder}}

    def account(self) -> Data:
        """The ServiceAccount. Nothing mounts it."""
        return {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": self.metadata,
            "automountServiceAccountToken": False,
        }

    def role(self) -> Data:
        """The Role, or the ClusterRole."""
        rules = [rule.to_json() for rule in self.rules]
        return self._rbac("Role" if self.namespace else "ClusterRole", {"rules": rules})

    def binding(self) -> Data:
        """The binding of that role to the account alone."""
        kind = "Role" if self.namespace else "ClusterRole"
        subject = {"kind": "ServiceAccount", "name": name_of(self.mark), "namespace": self.accounts}
        reference = {"apiGroup": GROUP, "kind": kind, "name": name_of(self.mark)}
        return self._rbac(f"{kind}Binding", {"roleRef": reference, "subjects": [subject]})

    def _rbac(self, kind: str, content: Data) -> Data:
        metadata = self.metadata
        metadata["annotations"][DIGEST] = digest_of(content)
        return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **content}


def content_of(made: Data) -> Data:
    """What a role or a binding says, in one form; the API server fills in what may be left out."""
    if "roleRef" in made:
        keys = ("kind", "name", "namespace")
        subjects = [{key: one[key] for key in keys if one.get(key)} for one in made.get("subjects") or []]
        return {"roleRef": made["roleRef"], "subjects": sorted(subjects, key=json.dumps)}
    return {
        "rules": [{key: value for key, value in rule.items() if value} for rule in made.get("rules") or []]
    }


def digest_of(content: Data) -> str:
    """SHA-256 of what a role or a binding says."""
    return hashlib.sha256(json.dumps(content_of(content), sort_keys=True).encode()).hexdigest()


def same(made: Data, wanted: Data) -> bool:
    """Whether what stands there says what is wanted, and is known by its labels."""
    meta = made.get("metadata") or {}
    marked = all(
        (meta.get("labels") or {}).get(key) == value for key, value in wanted["metadata"]["labels"].items()
    )
    if "rules" not in wanted and "roleRef" not in wanted:
        return marked
    noted = (meta.get("annotations") or {}).get(DIGEST) == wanted["metadata"]["annotations"][DIGEST]
    return marked and noted and content_of(made) == content_of(wanted)


def path_of(plural: str, namespace: str, name: str = "") -> str:
    """The path of a role, a binding or an account, or of their list: `roles`, `rolebindings`, `serviceaccounts`."""
    tail = f"/{name}" if name else ""
    if plural == "serviceaccounts":
        return f"/api/v1/namespaces/{namespace}/serviceaccounts{tail}"
    if namespace:
        return f"{RBAC}/namespaces/{namespace}/{plural}{tail}"
    return f"{RBAC}/cluster{plural}{tail}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that an account could do, to ask the API server about."""

    namespace: str
    verb: str
    group: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {what}{named}" + (f" in namespace {self.namespace}" if self.namespace else "")

    @property
    def attributes(self) -> Data:
        """As authorization.k8s.io/v1 ResourceAttributes."""
        resource, _, sub = self.resource.partition("/")
        return {
            "namespace": self.namespace, "verb": self.verb, "group": self.group, "resource": resource,
            "subresource": sub, "name": self.name,
        }  # fmt: skip


def ask_about(namespace: str, rules: Sequence[Data]) -> Ask | None:
    """What a role's first rule permits first."""
    for rule in rules:
        verbs, groups, resources = rule.get("verbs"), rule.get("apiGroups"), rule.get("resources")
        if verbs and groups and resources:
            return Ask(namespace, verbs[0], groups[0], resources[0], (rule.get("resourceNames") or [""])[0])
    return None

"""The objects of a grant on a cluster: one account, and a role and a binding for each namespace, all with the
same name.

Each grant has its own roles, even if other grants have the same rules. Shared roles would save no API call,
and would need a reference count, which a crash could corrupt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sessions_app.connectors.base import MARK
from sessions_app.policy.commands.kubernetes.resources import full_name
from sessions_app.policy.commands.kubernetes.rights import PolicyRule

Data = dict[str, Any]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
MARK_LABEL, GRANT_LABEL, DIGEST = f"{MARK}/mark", f"{MARK}/grant", f"{MARK}/digest"
MANAGED = "app.kubernetes.io/managed-by"
# Source: k8s.io/apiserver, pkg/authentication/serviceaccount/util.go.
_USER = "system:serviceaccount"
_NAME = re.compile(rf"{MARK}-([0-9a-f]{{32}})")


def name_of(mark: str) -> str:
    """Return the name of all objects of a grant."""
    return f"{MARK}-{mark}"


def mark_in(name: str) -> str:
    """Return the mark in a name that Stint gives; empty for any other name."""
    found = _NAME.fullmatch(name)
    return found[1] if found else ""


def user_of(accounts: str, mark: str) -> str:
    """Return the API server's user name for a grant's account, given the namespace of such
    accounts.
    """
    return f"{_USER}:{accounts}:{name_of(mark)}"


def group_of(accounts: str) -> str:
    """Return the group that contains all accounts of a namespace."""
    return f"{_USER}s:{accounts}"


def mark_of_user(accounts: str, user: str) -> str:
    """Return the mark of the grant whose account a user is; empty for any other user."""
    mark = mark_in(user.rpartition(":")[2])
    return mark if mark and user == user_of(accounts, mark) else ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The objects that a grant needs in one namespace ("": the whole cluster)."""

    mark: str
    grant_ref: str
    holder: str
    accounts: str
    namespace: str
    rules: tuple[PolicyRule, ...] = ()

    @property
    def metadata(self) -> Data:
        """The object's metadata: its name, the labels that identify it, and the holder."""
        labels = {MANAGED: MARK, MARK_LABEL: self.mark, GRANT_LABEL: self.grant_ref}
        return {"name": name_of(self.mark), "labels": labels, "annotations": {f"{MARK}/holder": self.holder}}

    def account(self) -> Data:
        """Return the ServiceAccount. No pod mounts its token."""
        return {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": self.metadata,
            "automountServiceAccountToken": False,
        }

    def role(self) -> Data:
        """Return the Role, or the ClusterRole."""
        rules = [rule.to_json() for rule in self.rules]
        return self._rbac("Role" if self.namespace else "ClusterRole", {"rules": rules})

    def binding(self) -> Data:
        """Return the binding of that role to the grant's account only."""
        kind = "Role" if self.namespace else "ClusterRole"
        subject = {"kind": "ServiceAccount", "name": name_of(self.mark), "namespace": self.accounts}
        reference = {"apiGroup": GROUP, "kind": kind, "name": name_of(self.mark)}
        return self._rbac(f"{kind}Binding", {"roleRef": reference, "subjects": [subject]})

    def _rbac(self, kind: str, content: Data) -> Data:
        metadata = self.metadata
        metadata["annotations"][DIGEST] = digest_of(content)
        return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **content}


def content_of(made: Data) -> Data:
    """Return the content of a role or a binding in canonical form. The API server fills in optional
    fields.
    """
    if "roleRef" in made:
        keys = ("kind", "name", "namespace")
        subjects = [{key: one[key] for key in keys if one.get(key)} for one in made.get("subjects") or []]
        return {"roleRef": made["roleRef"], "subjects": sorted(subjects, key=json.dumps)}
    return {
        "rules": [{key: value for key, value in rule.items() if value} for rule in made.get("rules") or []]
    }


def digest_of(content: Data) -> str:
    """Return the SHA-256 of the content of a role or a binding, in hex."""
    return hashlib.sha256(json.dumps(content_of(content), sort_keys=True).encode()).hexdigest()


def same(made: Data, wanted: Data) -> bool:
    """Whether an existing object has the wanted content and labels."""
    meta = made.get("metadata") or {}
    marked = all(
        (meta.get("labels") or {}).get(key) == value for key, value in wanted["metadata"]["labels"].items()
    )
    if "rules" not in wanted and "roleRef" not in wanted:
        return marked
    noted = (meta.get("annotations") or {}).get(DIGEST) == wanted["metadata"]["annotations"][DIGEST]
    return marked and noted and content_of(made) == content_of(wanted)


def path_of(plural: str, namespace: str, name: str = "") -> str:
    """Return the path of an object, or of the list if there is no ``name``.

    ``plural`` is `roles`, `rolebindings` or `serviceaccounts`.
    """
    tail = f"/{name}" if name else ""
    if plural == "serviceaccounts":
        return f"/api/v1/namespaces/{namespace}/serviceaccounts{tail}"
    if namespace:
        return f"{RBAC}/namespaces/{namespace}/{plural}{tail}"
    return f"{RBAC}/cluster{plural}{tail}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One permission of an account, for a query to the API server."""

    namespace: str
    verb: str
    group: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {full_name(self.group, self.resource)}{named}" + (
            f" in namespace {self.namespace}" if self.namespace else ""
        )

    @property
    def attributes(self) -> Data:
        """The permission as authorization.k8s.io/v1 ResourceAttributes."""
        resource, _, sub = self.resource.partition("/")
        return {
            "namespace": self.namespace,
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": sub,
            "name": self.name,
        }


def ask_about(namespace: str, rules: Sequence[Data]) -> Ask | None:
    """Return the first permission of a role's first complete rule; None if no rule is complete."""
    for rule in rules:
        verbs, groups, resources = rule.get("verbs"), rule.get("apiGroups"), rule.get("resources")
        if verbs and groups and resources:
            return Ask(namespace, verbs[0], groups[0], resources[0], (rule.get("resourceNames") or [""])[0])
    return None

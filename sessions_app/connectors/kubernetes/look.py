"""Find the objects that Stint created on a cluster, by name.

Unlike a label, a name can't be removed from an object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from sessions_app.connectors.base import Observed
from sessions_app.connectors.kubernetes.api import Api, Data
from sessions_app.connectors.kubernetes.objects import (
    DIGEST,
    GRANT_LABEL,
    MARK_LABEL,
    RBAC,
    Ask,
    ask_about,
    digest_of,
    group_of,
    mark_in,
    name_of,
    path_of,
)
from sessions_app.policy.commands.kubernetes.resources import full_names
from sessions_app.policy.commands.kubernetes.rights import STREAMS

_LISTS = ("rolebindings", "roles")
_BOOTSTRAPPED = "kubernetes.io/bootstrapping"


@dataclass(frozen=True, slots=True)
class Found:
    """The objects found for one grant. Bindings and roles are by namespace, "" for the whole cluster."""

    bindings: Mapping[str, Data] = field(default_factory=dict)
    roles: Mapping[str, Data] = field(default_factory=dict)
    account: bool = False

    def __bool__(self) -> bool:
        return bool(self.bindings or self.roles or self.account)

    @property
    def names(self) -> list[str]:
        """A description of each object."""
        found = [
            _said(kind, where)
            for kind, all_ in (("rolebinding", self.bindings), ("role", self.roles))
            for where in all_
        ]
        return [*found, *(["serviceaccount"] if self.account else [])]

    @property
    def asks(self) -> list[Ask]:
        """One permission of each role, to query the API server about."""
        asks = (ask_about(where, role.get("rules") or []) for where, role in self.roles.items())
        return [ask for ask in asks if ask is not None]

    @property
    def streams(self) -> list[str]:
        """The permissions that open connections which a revoke can't cut."""
        rules = [rule for role in self.roles.values() for rule in role.get("rules") or []]
        watched = {
            f"watch {one}"
            for rule in rules
            if "watch" in rule.get("verbs", [])
            for one in full_names(rule.get("apiGroups", []), rule.get("resources", []))
        }
        return sorted(
            watched | {one for rule in rules for one in rule.get("resources", []) if one in STREAMS}
        )


def _said(kind: str, namespace: str) -> str:
    return f"{kind} in namespace {namespace}" if namespace else f"cluster{kind}"


def look(api: Api, mark: str) -> Found:
    """Read the objects of a grant in every namespace, with five calls."""
    name = name_of(mark)
    lists: dict[str, dict[str, Data]] = {plural: {} for plural in _LISTS}
    for plural in _LISTS:
        for path in (f"{RBAC}/{plural}", f"{RBAC}/cluster{plural}"):
            for one in api.items(path, {"fieldSelector": f"metadata.name={name}"}):
                lists[plural][one["metadata"].get("namespace", "")] = one
    status, _ = api.call("GET", path_of("serviceaccounts", api.parameters.accounts, name), also=(404,))
    return Found(lists["rolebindings"], lists["roles"], status == 200)


def look_around(api: Api) -> list[Observed]:
    """Read everything that Stint created, for any grant, and other people's bindings that refer to Stint's
    accounts.
    """
    seen: dict[str, _Seen] = {}
    for account in api.items(path_of("serviceaccounts", api.parameters.accounts)):
        if mark := mark_in(account["metadata"]["name"]):
            one = seen.setdefault(mark, _Seen())
            one.account = True
            one.note(account, mark)
    for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings"):
        for made in api.items(f"{RBAC}/{plural}"):
            _take(seen, plural, made, api.parameters.accounts)
    return [one.observed(mark) for mark, one in sorted(seen.items())]


@dataclass
class _Seen:
    """The objects of one grant, and the faults found in them."""

    ref: str = ""
    account: bool = False
    places: dict[str, set[str]] = field(default_factory=lambda: {"role": set(), "rolebinding": set()})
    wrong: list[str] = field(default_factory=list)

    def note(self, made: Data, mark: str) -> None:
        labels = made["metadata"].get("labels") or {}
        self.ref = self.ref or labels.get(GRANT_LABEL, "")
        if labels.get(MARK_LABEL) != mark:
            self.wrong.append(f"{made['metadata']['name']} has lost its labels")

    def observed(self, mark: str) -> Observed:
        roles, bindings = self.places["role"], self.places["rolebinding"]
        self.wrong += [f"no {_said('role', where)}" for where in sorted(bindings - roles)]
        self.wrong += [f"no {_said('rolebinding', where)}" for where in sorted(roles - bindings)]
        if not self.account:
            self.wrong.append("no serviceaccount")
        if not roles and not bindings:
            self.wrong.append("no role")
        there = [
            *(["serviceaccount"] if self.account else []),
            *(_said("role", where) for where in sorted(roles)),
            *(_said("rolebinding", where) for where in sorted(bindings)),
        ]
        detail = ", ".join(there) + (f"; wrong: {'; '.join(self.wrong)}" if self.wrong else "")
        return Observed(mark=mark, grant_ref=self.ref, intact=not self.wrong, detail=detail)


def _take(seen: dict[str, _Seen], plural: str, made: Data, accounts: str) -> None:
    where, kind = made["metadata"].get("namespace", ""), plural.removeprefix("cluster").removesuffix("s")
    own = mark_in(made["metadata"]["name"])
    if own:
        one = seen.setdefault(own, _Seen())
        one.places[kind].add(where)
        one.note(made, own)
        noted = (made["metadata"].get("annotations") or {}).get(DIGEST)
        if noted != digest_of(made):
            one.wrong.append(f"{_said(kind, where)} was changed outside Stint")
    for mark in _accounts_in(made, accounts):
        if mark != own:
            said = (
                f"{_said(kind, where)} {made['metadata']['name']}, not created by Stint, refers to its"
                " account"
            )
            seen.setdefault(mark, _Seen()).wrong.append(said)


def _accounts_in(made: Data, accounts: str) -> Iterator[str]:
    for subject in made.get("subjects") or []:
        if mark := mark_in(_account_of(subject, accounts)):
            yield mark


def _account_of(subject: Data, accounts: str) -> str:
    """Return the account name if a subject is a grant account, in either notation; empty for other
    subjects.
    """
    kind, name = subject.get("kind"), str(subject.get("name", ""))
    if kind == "ServiceAccount" and subject.get("namespace") == accounts:
        return name
    user = f"system:serviceaccount:{accounts}:"
    return name.removeprefix(user) if kind == "User" and name.startswith(user) else ""


def bindings_by_others(api: Api) -> list[str]:
    """Return a description of each binding by others to a grant account, or to a group that contains all of
    them.

    Bindings that every cluster has by default are left out, because the API server recreates them.
    """
    accounts = api.parameters.accounts
    groups = {group_of(accounts), "system:serviceaccounts", "system:authenticated"}
    return [
        _binding(made, ", ".join(given))
        for plural in ("rolebindings", "clusterrolebindings")
        for made in api.items(f"{RBAC}/{plural}")
        if not mark_in(made["metadata"]["name"])
        and (made["metadata"].get("labels") or {}).get(_BOOTSTRAPPED) != "rbac-defaults"
        and (given := [one["name"] for one in made.get("subjects") or [] if _gives(one, groups, accounts)])
    ]


def _gives(subject: Data, groups: Collection[str], accounts: str) -> bool:
    everyone = subject.get("kind") == "Group" and subject.get("name") in groups
    return everyone or bool(mark_in(_account_of(subject, accounts)))


def _binding(made: Data, subjects: str) -> str:
    role = made.get("roleRef") or {}
    where = made["metadata"].get("namespace", "")
    return f"{_said('rolebinding', where)} {made['metadata']['name']} of {role.get('name')} to {subjects}"

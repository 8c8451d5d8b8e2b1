"""RBAC rights on resources, and whether they cover a request to an API server.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/ and k8s.io/api/rbac/v1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from sessions_app.policy.commands.kubernetes.resources import full_name, full_names, group_name
from sessions_app.policy.commands.kubernetes.texts import (
    Text,
    all_values,
    fill,
    literal,
    match,
    slots_of,
    written,
)
from sessions_app.policy.commands.parameters import ParameterType

ANY = "*"
# A GET on these opens a WebSocket or is forwarded to a workload, so no verb on them is read-only.
CONNECTS = frozenset(
    ("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy")
)
# These need a kubectl line: it names the program, ports or container, with which each use can be
# compared.
NEVER_BY_RULE = {"pods/exec": "exec", "pods/attach": "attach", "pods/portforward": "port-forward"}
# Requests to these continue for as long as their connection is open, even if the right is revoked.
STREAMS = CONNECTS | {"pods/log"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as an API server authorizes it.

    Without a name, it is about all objects; without a namespace, about the whole cluster.
    """

    verb: str
    group: str
    resource: str
    name: str = ""
    namespace: str = ""

    @property
    def placed(self) -> Request:
        """The request as RBAC evaluates it: a namespace itself counts as a cluster-scoped object."""
        return replace(self, namespace="") if self.resource.partition("/")[0] == "namespaces" else self

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {full_name(self.group, self.resource)}{name}" + (
            f" in namespace {self.namespace}" if self.namespace else ""
        )


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of a Role. No names means every object."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...] = ()

    def to_json(self) -> dict[str, list[str]]:
        """Return the rule in the form of rbac.authorization.k8s.io/v1."""
        found = {"apiGroups": list(self.groups), "resources": list(self.resources), "verbs": list(self.verbs)}
        return {**found, "resourceNames": list(self.names)} if self.names else found


@dataclass(frozen=True, slots=True)
class Right:
    """A rule with placeholders for values.

    `asked` are the verbs that a line needs in order to work; `verbs` are all verbs that the right grants.
    Without names, it is about every object; without namespaces, about the whole cluster.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[Text, ...]
    namespaces: tuple[Text, ...]
    asked: tuple[str, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The right's parameters, without duplicates."""
        return tuple(
            dict.fromkeys(name for text in (*self.names, *self.namespaces) for name in slots_of(text))
        )

    def filled(self, values: Mapping[str, str]) -> Right:
        """Return the right with the known values in place."""
        return replace(
            self,
            names=tuple(fill(text, values) for text in self.names),
            namespaces=tuple(fill(text, values) for text in self.namespaces),
        )

    def matches(self, request: Request, types: Mapping[str, ParameterType]) -> Iterator[Mapping[str, str]]:
        """Yield the parameter values with which the right permits a request; nothing if it does not."""
        if (
            word_listed(request.verb, self.verbs)
            and word_listed(request.group, self.groups)
            and resource_listed(request.resource, self.resources)
        ):
            for known in _matches(self.namespaces, request.namespace, types, {}):
                yield from _matches(self.names, request.name, types, known)

    def requests(self) -> Iterator[Request]:
        """Yield the requests of a line in which every placeholder has a value."""
        names = [literal(text) or "" for text in self.names] or [""]
        namespaces = [literal(text) or "" for text in self.namespaces] or [""]
        for verb, group, resource, name, namespace in product(
            self.asked, self.groups, self.resources, names, namespaces
        ):
            yield Request(verb, group, resource, name, namespace)

    def rules(
        self, types: Mapping[str, ParameterType], free: Collection[str] = ()
    ) -> Iterator[tuple[str, PolicyRule]]:
        """Yield the right's rules by namespace ("": the whole cluster), expanding parameters with few values.

        For a parameter that is `free` at each run and has many values, RBAC allows any name, and the gateway
        checks the name.
        """
        for values in assignments(self.slots, types):
            right = self.filled(values)
            many = any(name in free for text in right.names for name in slots_of(text))
            names = () if many else tuple(map(written, right.names))
            rule = PolicyRule(self.verbs, self.groups, self.resources, names)
            for namespace in map(written, right.namespaces or ((),)):
                yield namespace, rule

    @property
    def things(self) -> tuple[str, ...]:
        """The right's resources, each with its group: `deployments.apps`."""
        return full_names(self.groups, self.resources)

    @property
    def words(self) -> str:
        """The right as a sentence without its subject: "can get and list pods in namespace web"."""
        things = ", ".join(self.resources)
        of = f" of {_and(tuple(map(group_name, self.groups)))}" if any(self.groups) else ""
        named = f" named {' or '.join(map(written, self.names))}" if self.names else ""
        spaces = ", ".join(map(written, self.namespaces))
        where = f" in namespace {spaces}" if spaces else " in the whole cluster"
        return f"can {_and(self.verbs)} {things}{of}{named}{where}"


def _and(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def word_listed(word: str, words: tuple[str, ...]) -> bool:
    """Whether a rule's verbs or groups include a word."""
    return word in words or ANY in words


def resource_listed(resource: str, resources: tuple[str, ...]) -> bool:
    """Whether a rule's resources include a resource or subresource."""
    _, slash, sub = resource.partition("/")
    return word_listed(resource, resources) or (bool(slash) and f"*/{sub}" in resources)


def _matches(
    texts: tuple[Text, ...], value: str, types: Mapping[str, ParameterType], known: Mapping[str, str]
) -> Iterator[Mapping[str, str]]:
    if not texts:
        yield known
    for text in texts:
        found = match(text, value, types, known) if value else None
        if found is not None:
            yield found


def assignments(names: Iterable[str], types: Mapping[str, ParameterType]) -> Iterator[Mapping[str, str]]:
    """Yield every combination of values for parameters with few values. Other parameters stay open."""
    finite = {name: values for name in names if (values := all_values(types[name])) is not None}
    for chosen in product(*finite.values()):
        yield dict(zip(finite, chosen, strict=True))


def never_by_rule(resources: Iterable[str]) -> str | None:
    """Return why a rule can't grant these resources, with the fix; None if it can."""
    for resource in resources:
        if resource in NEVER_BY_RULE:
            return (
                f"a rule can't limit what is done with {resource}: write a line with "
                f"`{NEVER_BY_RULE[resource]}`"
            )
    return None


def streams_of(rights: Iterable[Right]) -> tuple[str, ...]:
    """Return the connections that a revoke can't cut once they are open: watches, exec, port-forward,
    followed logs.
    """
    found: dict[str, None] = {}
    for right in rights:
        if {"watch", ANY} & set(right.verbs):
            found["watch " + ", ".join(right.things)] = None
        for resource in right.resources:
            if resource in STREAMS or ANY in resource:
                found[resource] = None
    return tuple(found)

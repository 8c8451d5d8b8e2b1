"""What RBAC holds: rights on resources, and whether they cover one request to an API server.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/ and k8s.io/api/rbac/v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

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
# A GET opens these as a websocket, or is passed on to what runs there: no verb on them only reads.
DOORS = frozenset(("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy"))  # fmt: skip
# Requests to these go on for as long as their connection does, whatever happens to the right meanwhile.
STREAMS = DOORS | {"pods/log"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as an API server authorises it. No name: it is about all; no namespace: about the whole cluster."""

    verb: str
    group: str
    resource: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {what}{name}" + (f" in namespace {self.namespace}" if self.namespace else "")


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of a Role. No names: every object."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...] = ()

    def to_json(self) -> dict[str, list[str]]:
        """As rbac.authorization.k8s.io/v1 has it."""
        found = {"apiGroups": list(self.groups), "resources": list(self.resources), "verbs": list(self.verbs)}
        return {**found, "resourceNames": list(self.names)} if self.names else found


@dataclass(frozen=True, slots=True)
class Right:
    """A rule with places for values. `asked` are the verbs without which its line does not work, `verbs` all it gives.

    No names: every object. No namespaces: the whole cluster.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[Text, ...]
    namespaces: tuple[Text, ...]
    asked: tuple[str, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The parameters that it uses, each once."""
        return tuple(
            dict.fromkeys(name for text in (*self.names, *self.namespaces) for name in slots_of(text))
        )

    def filled(self, values: Mapping[str, str]) -> Right:
        """The right with the known values in place."""
        return replace(
            self,
            names=tuple(fill(text, values) for text in self.names),
            namespaces=tuple(fill(text, values) for text in self.namespaces),
        )

    def covers(self, request: Request, types: Mapping[str, ParameterType]) -> Mapping[str, str] | None:
        """The values with which it permits a request; None if it does not."""
        if not (
            word_listed(request.verb, self.verbs)
            and word_listed(request.group, self.groups)
            and resource_listed(request.resource, self.resources)
        ):
            return None
        for known in _matches(self.namespaces, request.namespace, types, {}):
            for found in _matches(self.names, request.name, types, known):
                return found
        return None

    def requests(self) -> Iterator[Request]:
        """The requests of a line in which nothing is open."""
        names = [literal(text) or "" for text in self.names] or [""]
        namespaces = [literal(text) or "" for text in self.namespaces] or [""]
        for verb, group, resource, name, namespace in product(
            self.asked, self.groups, self.resources, names, namespaces
        ):
            yield Request(verb, group, resource, name, namespace)

    def rules(self, types: Mapping[str, ParameterType]) -> Iterator[tuple[str, PolicyRule]]:
        """Its rules by namespace ("": the whole cluster). What is free stands there with each value that it can have."""
        for values in assignments(self.slots, types):
            right = self.filled(values)
            rule = PolicyRule(self.verbs, self.groups, self.resources, tuple(map(written, right.names)))
            for namespace in map(written, right.namespaces or ((),)):
                yield namespace, rule

    @property
    def words(self) -> str:
        """The right as a sentence without its subject: "may get and list pods in namespace web"."""
        things = ", ".join(self.resources)
        groups = [group for group in self.groups if group]
        of = f" of {', '.join(groups)}" if groups else ""
        named = f" named {' or '.join(map(written, self.names))}" if self.names else ""
        spaces = ", ".join(map(written, self.namespaces))
        where = f" in namespace {spaces}" if spaces else " in the whole cluster"
        return f"may {_and(self.verbs)} {things}{of}{named}{where}"


def _and(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def word_listed(word: str, words: tuple[str, ...]) -> bool:
    """Whether a verb or a group is among those of a rule."""
    return word in words or ANY in words


def resource_listed(resource: str, resources: tuple[str, ...]) -> bool:
    """Whether a resource or a subresource is among those of a rule."""
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
    """Every way to give values to parameters that have few. Parameters with many stay as they are."""
    finite = {name: values for name in names if (values := all_values(types[name])) is not None}
    for chosen in product(*finite.values()):
        yield dict(zip(finite, chosen, strict=True))


def streams_of(rights: Iterable[Right]) -> tuple[str, ...]:
    """What of the rights a revoke can't cut once it is open: watches, exec, port-forward, logs that are followed."""
    found: dict[str, None] = {}
    for right in rights:
        if {"watch", ANY} & set(right.verbs):
            found["watch " + ", ".join(right.resources)] = None
        for resource in right.resources:
            if resource in STREAMS or ANY in resource:
                found[resource] = None
    return tuple(found)

"""The objects of a kubectl line: `deployment/web`, `deployment web api`, `pods,services`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.options import Line
from sessions_app.policy.commands.kubernetes.resources import Resource, find_resource
from sessions_app.policy.commands.kubernetes.rights import Right
from sessions_app.policy.commands.kubernetes.texts import Text, name_text


@dataclass(frozen=True, slots=True)
class Thing:
    """A resource, with the names of its objects if the line has any."""

    resource: Resource
    names: tuple[Text, ...]

    def right(self, line: Line, asked: tuple[str, ...], also: tuple[str, ...] = (), sub: str = "") -> Right:
        """Return the right to use some verbs on the resource, in the namespaces of a line.

        `asked` are the verbs that the line needs.

        Raises RuleRefused for rights that RBAC can't express.
        """
        sub = sub or line.subresource
        plural = f"{self.resource.plural}/{sub}" if sub else self.resource.plural
        verbs = tuple(dict.fromkeys((*asked, *also)))
        if self.names and {"create", "deletecollection"} & set(verbs) and not sub:
            raise RuleRefused("RBAC can't limit create and deletecollection to a name: remove the name")
        return Right(
            verbs, (self.resource.group,), (plural,), self.names, namespaces_of(line, self.resource), asked
        )


def namespaces_of(line: Line, resource: Resource) -> tuple[Text, ...]:
    """Return the namespaces of a line for a resource; empty means the whole cluster. Raises RuleRefused."""
    if resource.namespaced is False:
        if line.namespaces:
            raise RuleRefused(f"{resource.plural} don't belong to a namespace: remove -n")
        return ()
    if resource.namespaced and not line.namespaces and not line.everywhere:
        raise RuleRefused(
            f"{resource.plural} belong to a namespace: add -n with its name, or -A for all of them"
        )
    return line.namespaces


def parse_things(words: Sequence[str]) -> list[Thing]:
    """Parse the objects of a line. Raises RuleRefused."""
    if not words:
        raise RuleRefused("a resource is required, such as `pods` or `deployment/web`")
    if any("/" in word for word in words):
        return [_by_slash(word) for word in words]
    resources = [find_resource(plain(word)) for word in words[0].split(",")]
    names = tuple(map(name_text, words[1:]))
    return [Thing(resource, names) for resource in resources]


def _by_slash(word: str) -> Thing:
    type_, slash, name = word.partition("/")
    if not slash or not type_ or not name:
        raise RuleRefused(f"{clip(word)} needs both the resource and the name, like `deployment/web`")
    return Thing(find_resource(plain(type_)), (name_text(name),))


def plain(word: str) -> str:
    """Return a word without placeholders. Raises RuleRefused."""
    if "{" in word:
        raise RuleRefused("the resource must be written out: it can't be a parameter")
    return word


def pods_of(words: Sequence[str]) -> Iterator[Thing]:
    """Parse `web-1` or `pod/web-1`; without a name, any pod is meant. Raises RuleRefused."""
    pods = find_resource("pods")
    for word in words or [""]:
        thing = _by_slash(word) if "/" in word else Thing(pods, (name_text(word),) if word else ())
        if thing.resource != pods:
            raise RuleRefused(
                "RBAC can't limit pods by their owner: name a pod, or remove the name for any pod"
            )
        yield thing

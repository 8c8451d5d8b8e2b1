"""The document of a command set for Kubernetes: lines of kubectl, or rules of RBAC, with `{name}` in names and namespaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Discriminator, Field, StrictBool, StrictStr, Tag

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import (
    FROZEN,
    MAX_COMMANDS,
    CommandRule,
    CommandSetDocument,
    RuleRefused,
    Visible,
)
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.commands.kubernetes.resources import known_resource
from sessions_app.policy.commands.kubernetes.rights import ANY, Right, assignments
from sessions_app.policy.commands.kubernetes.texts import (
    MAX_FINITE,
    all_values,
    name_text,
    namespace_text,
    slots_of,
    written,
)
from sessions_app.policy.documents import Problem

_VERB = re.compile(r"[a-z]{1,40}|\*")
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?|\*|")
_RESOURCE = re.compile(r"([a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?|\*)(/([a-z][a-z0-9-]{0,61}|\*))?")

Words = Annotated[tuple[StrictStr, ...], Field(min_length=1, max_length=50)]


class KubernetesRule(CommandRule):
    """One allowed command, as rights. Both ways to write it come to the same."""

    def rights(self) -> tuple[Right, ...]:
        """What it gives, with places for values. Raises RuleRefused for what RBAC can't hold."""
        raise NotImplementedError

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it uses, each once. Raises RuleRefused."""
        return tuple(dict.fromkeys(name for right in self.rights() for name in right.slots))


class KubectlLine(KubernetesRule):
    """A line of kubectl, with `{name}` in a name or a namespace."""

    run: Visible = Field(min_length=1, max_length=4096, description="Like: get pods -n {ns}")

    @property
    def text(self) -> str:
        """The line as it is written."""
        return self.run

    def rights(self) -> tuple[Right, ...]:
        """What kubectl needs for the line."""
        return parse_line(self.run, document=True)


class RbacRule(BaseModel):
    """One rule of RBAC, and the namespaces that it is for."""

    model_config = FROZEN
    verbs: Words = Field(description="Of the API: get, list, watch, create, update, patch, delete, …")
    groups: Words = Field(description='API groups: apps, batch, … and "" for the core')
    resources: Words = Field(description="In plural, with a subresource where one is meant: pods/log")
    namespaces: tuple[Visible, ...] = Field(
        default=(), max_length=20, description="With {name} for a parameter"
    )
    names: tuple[Visible, ...] = Field(
        default=(), max_length=50, description="Of objects; none: every object"
    )
    cluster: StrictBool = Field(default=False, description="Every namespace, and what is in none")


class WrittenRule(KubernetesRule):
    """A rule of RBAC as it stands."""

    WRITTEN: ClassVar[str] = "rule"
    rule: RbacRule

    @property
    def text(self) -> str:
        """The rule on one line: `get,list deployments.apps web -n {ns}`."""
        said = self.rule
        groups = [group for group in said.groups if group]
        of = f".{'|'.join(groups)}" if groups else ""
        things = ",".join(f"{resource}{of}" for resource in said.resources)
        where = f"-n {','.join(said.namespaces)}" if said.namespaces else "-A"
        return " ".join((",".join(said.verbs), things, *said.names, where))

    def rights(self) -> tuple[Right, ...]:
        """The one rule."""
        said = self.rule
        _check_words("verb", said.verbs, _VERB)
        _check_words("group", said.groups, _GROUP)
        _check_words("resource", said.resources, _RESOURCE)
        self._check_places()
        names, namespaces = tuple(map(name_text, said.names)), tuple(map(namespace_text, said.namespaces))
        return (Right(said.verbs, said.groups, said.resources, names, namespaces, said.verbs),)

    def _check_places(self) -> None:
        said = self.rule
        if bool(said.namespaces) == said.cluster:
            raise RuleRefused("needs `namespaces`, or `cluster: true` for all of the cluster, and not both")
        for group in said.groups:
            for resource in said.resources:
                if said.namespaces and known_resource(group, resource.partition("/")[0]).namespaced is False:
                    raise RuleRefused(f"{resource} are in no namespace: write `cluster: true` in its place")
        made = {"create", "deletecollection"} & set(said.verbs)
        if said.names and made and not all("/" in resource for resource in said.resources):
            raise RuleRefused(
                "RBAC can't limit create and deletecollection to names: write them as a rule of their own"
            )


def _check_words(what: str, words: tuple[str, ...], pattern: re.Pattern[str]) -> None:
    for word in words:
        if not pattern.fullmatch(word):
            raise RuleRefused(f"{clip(word)} is not a {what} of an API")
        if ANY in word and word != ANY and not word.startswith("*/"):
            raise RuleRefused(f"{clip(word)} means nothing to RBAC: write the subresource out")
    if len(set(words)) < len(words):
        raise RuleRefused(f"lists a {what} twice: remove one")


def _form(data: Any) -> str:
    has = data if isinstance(data, dict) else getattr(data, "__dict__", {})
    return "as a rule" if "rule" in has and "run" not in has else "as a line"


Command = Annotated[
    Annotated[KubectlLine, Tag("as a line")] | Annotated[WrittenRule, Tag("as a rule")], Discriminator(_form)
]


class KubernetesCommandSet(CommandSetDocument):
    """A named list of what may be done on a cluster. A published version never changes."""

    kind: Literal["kubernetes"]
    commands: tuple[Command, ...] = Field(max_length=MAX_COMMANDS, description="An empty list allows nothing")

    def problems(self) -> Iterator[Problem]:
        """What its parts say that does not fit together, or that RBAC can't hold."""
        found = list(super().problems())
        yield from found
        if not found:
            for index, rule in enumerate(self.commands):
                yield from self._free(index, rule)

    def _free(self, index: int, rule: KubernetesRule) -> Iterator[Problem]:
        for name, type_ in rule.where.items():
            if all_values(type_) is None:
                yield Problem(
                    f"commands[{index}].where.{name}",
                    "RBAC has no values that are free at each run: put it under parameters, or write a choice "
                    f"of at most {MAX_FINITE}",
                )
                return
        for right in rule.rights():
            yield from self._values(index, rule, right)

    def _values(self, index: int, rule: KubernetesRule, right: Right) -> Iterator[Problem]:
        """What the values of `where` come to must be names."""
        if len(list(zip(range(101), assignments(rule.where, rule.where), strict=False))) > 100:
            yield Problem(
                f"commands[{index}].where", "comes to more than 100 combinations: narrow its choices"
            )
            return
        for values in assignments(rule.where, rule.where):
            filled = right.filled(values)
            for text, read in (*((one, name_text) for one in filled.names),
                               *((one, namespace_text) for one in filled.namespaces)):  # fmt: skip
                try:
                    read(written(text))
                except RuleRefused as error:
                    name = next(iter(slots_of(right.names[0] if right.names else right.namespaces[0])), "")
                    yield Problem(f"commands[{index}].where" + (f".{name}" if name else ""), error.reason)
                    return

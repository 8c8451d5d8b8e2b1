"""The document of a command set for Kubernetes: kubectl lines, objects to apply, or RBAC rules, with `{name}`
for a parameter value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Discriminator, Field, StrictBool, StrictInt, StrictStr, Tag

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import (
    FROZEN,
    MAX_COMMANDS,
    CommandRule,
    CommandSetDocument,
    RuleRefused,
    Visible,
)
from sessions_app.policy.commands.finish import Finish
from sessions_app.policy.commands.kubernetes import checks
from sessions_app.policy.commands.kubernetes.applying import Applies, read_path
from sessions_app.policy.commands.kubernetes.checks import ANYTHING, Reads
from sessions_app.policy.commands.kubernetes.entering import Enters
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.commands.kubernetes.resources import (
    Resource,
    full_names,
    known_resource,
    plural_of,
)
from sessions_app.policy.commands.kubernetes.rights import ANY, Right, assignments, never_by_rule
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.texts import (
    Slot,
    all_values,
    name_text,
    namespace_text,
    parse_slots,
    slots_of,
    written,
)
from sessions_app.policy.commands.kubernetes.wants import Listed, Said, Typed, Want
from sessions_app.policy.commands.parameters import Int, Parameter, ParameterType
from sessions_app.policy.documents import Problem

_VERB = re.compile(r"[a-z]{1,40}|\*")
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?|\*|")
_RESOURCE = re.compile(r"([a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?|\*)(/([a-z][a-z0-9-]{0,61}|\*))?")
_API_VERSION = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?$"

# How processes started by `exec` end: with the wrapper that is their parent, or not at all. In that case
# they can outlive the grant.
Contain = Literal["wrapper", "none"]
Words = Annotated[tuple[StrictStr, ...], Field(min_length=1, max_length=50)]
Names = Annotated[tuple[Visible, ...], Field(max_length=50)]
Namespaces = Annotated[tuple[Visible, ...], Field(max_length=20)]
Scalar = StrictStr | StrictBool | StrictInt | None


def _value_tag(data: Any) -> str:
    return "type" if isinstance(data, Mapping | ParameterType) else "value"


# A single value, `{name}` for a parameter's value, or a type.
Constraint = Annotated[
    Annotated[Scalar, Tag("value")] | Annotated[Parameter, Tag("type")], Discriminator(_value_tag)
]


class KubernetesRule(CommandRule):
    """One allowed command and the requests that it sends."""

    hold: StrictBool = Field(default=False, description="Each run needs the approval of a second person")

    def steps(self, types: Mapping[str, ParameterType] = {}) -> tuple[Step, ...]:
        """Return the command's requests, with placeholders for values.

        `types` are the types of the command's parameters. Raises RuleRefused.
        """
        raise NotImplementedError

    def rights(self) -> tuple[Right, ...]:
        """Return the rights that the command needs. Raises RuleRefused for requests that RBAC can't
        express.
        """
        return tuple(step.right for step in self.steps())

    @property
    def names(self) -> tuple[str, ...]:
        """The command's parameters, without duplicates. Raises RuleRefused."""
        return tuple(dict.fromkeys(name for step in self.steps() for name in step.names))

    @property
    def held(self) -> bool:
        """Whether each run needs approval."""
        return self.hold

    @property
    def contained(self) -> Contain | None:
        """How the command's processes are contained; None if it starts none."""
        return None


class KubectlLine(KubernetesRule):
    """A kubectl command, with `{name}` in place of each parameter value."""

    run: Visible = Field(min_length=1, max_length=4096, description="For example: get pods -n {ns}")
    end: Literal["cut"] | Finish = Field(
        default="cut", description="For exec: what happens to a running program when the grant ends"
    )
    contain: Contain | None = Field(
        default=None,
        description="For exec: `none` if the image has no shell for the wrapper. Default: `wrapper`",
    )

    @property
    def text(self) -> str:
        """The line as written."""
        return self.run

    @property
    def finish_seconds(self) -> int | None:
        """For how many seconds a program may continue after the grant's end; None if it is cut off."""
        return self.end.finish if isinstance(self.end, Finish) else None

    @property
    def contained(self) -> Contain | None:
        """How the line's processes are contained; None if it starts none."""
        runs = any(isinstance(step.check, Enters) and step.check.words for step in self.steps())
        return (self.contain or "wrapper") if runs else None

    def steps(self, types: Mapping[str, ParameterType] = {}) -> tuple[Step, ...]:
        """Return the requests that kubectl sends for the line."""
        del types
        return parse_line(self.run, document=True)


class Applied(BaseModel):
    """The objects of one kind that can be applied, and the fields that can be set."""

    model_config = FROZEN
    kind: Annotated[StrictStr, Field(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")] = Field(
        description="The kind of the objects", examples=["Deployment"]
    )
    api_version: Annotated[StrictStr, Field(pattern=_API_VERSION)] = Field(
        alias="apiVersion", description="Their API group and version", examples=["apps/v1"]
    )
    resource: StrictStr = Field(default="", description="Plural name, for kinds that are not built in")
    namespaces: Namespaces = Field(default=(), description="Namespaces; none for cluster-scoped objects")
    names: Names = Field(default=(), description="Names of objects. Default: every object")
    fields: Mapping[StrictStr, Constraint] = Field(
        min_length=1, max_length=100, description="Paths of the fields that can be set, and their values"
    )
    create: StrictBool = Field(default=False, description="The object may also be created")
    server_side: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")] | None = Field(
        default=None,
        description=(
            "Field manager of server-side applies, which also remove fields that it set before. "
            "Default: server-side applies are refused"
        ),
    )

    @property
    def thing(self) -> Resource:
        """The resource of the kind. Raises RuleRefused."""
        group = self.api_version.rpartition("/")[0]
        plural = self.resource or plural_of(group, self.kind)
        found = known_resource(group, plural)
        known = not self.resource or found.singular
        if (
            not _RESOURCE.fullmatch(plural)
            or "/" in plural
            or (known and found.singular != self.kind.lower())
        ):
            raise RuleRefused(
                f"{clip(self.kind)} of {self.api_version} is not a known kind: write its plural in `resource`"
            )
        if bool(self.namespaces) is (found.namespaced is False):
            raise RuleRefused("needs `namespaces` if its objects belong to a namespace, and none otherwise")
        return found


class ApplyRule(KubernetesRule):
    """An object to apply, and the fields that can be set."""

    WRITTEN: ClassVar[str] = "apply"
    apply: Applied = Field(description="The objects that can be applied")

    @property
    def text(self) -> str:
        """The rule on one line: `apply deployment/web -n shop spec.replicas`."""
        said = self.apply
        what = f"{said.thing.one}/{','.join(said.names)}" if said.names else said.thing.word
        where = ("-n", ",".join(said.namespaces)) if said.namespaces else ()
        return " ".join(("apply", what, *where, *said.fields))

    def steps(self, types: Mapping[str, ParameterType] = {}) -> tuple[Step, ...]:
        """Return the requests that kubectl sends for an apply."""
        said, resource = self.apply, self.apply.thing
        names, spaces = tuple(map(name_text, said.names)), tuple(map(namespace_text, said.namespaces))
        fields = tuple(
            checks.Field(read_path(path), _want(value, types)) for path, value in said.fields.items()
        )
        check = Applies(said.api_version, said.kind, fields, said.server_side, names, said.create)

        def right(*verbs: str, asked: tuple[str, ...]) -> Right:
            named = names if "create" not in verbs else ()
            return Right(verbs, (resource.group,), (resource.plural,), named, spaces, asked)

        # `replace` sends an update.
        changed = Step(right("patch", "update", asked=("patch",)), check, ("apply",))
        steps = (Step(right("get", asked=("get",)), Reads(), main=False), changed)
        return (*steps, Step(right("create", asked=()), check, ("apply",))) if said.create else steps


def _want(value: Any, types: Mapping[str, ParameterType]) -> Want:
    if isinstance(value, ParameterType):
        return Typed(value)
    text = parse_slots(value) if isinstance(value, str) else ()
    if not any(isinstance(piece, Slot) for piece in text):
        return Listed((value,))
    return Said(text, number=len(text) == 1 and isinstance(types.get(next(slots_of(text))), Int))


class RbacRule(BaseModel):
    """One RBAC rule, and the namespaces in which it applies."""

    model_config = FROZEN
    verbs: Words = Field(description="API verbs: get, list, watch, create, update, patch, delete, …")
    groups: Words = Field(description='API groups: apps, batch, … and "" for the core')
    resources: Words = Field(description="Plural names, with a subresource if needed: pods/log")
    namespaces: Namespaces = Field(default=(), description="Namespaces, with {name} for a parameter")
    names: Names = Field(default=(), description="Names of objects. Default: every object")
    cluster: StrictBool = Field(
        default=False, description="The whole cluster: every namespace, and resources without a namespace"
    )


class WrittenRule(KubernetesRule):
    """An RBAC rule in full."""

    WRITTEN: ClassVar[str] = "rule"
    rule: RbacRule = Field(description="One RBAC rule, and where it applies")

    @property
    def text(self) -> str:
        """The rule on one line: `get,list secrets,secrets.apps web -n {ns}`."""
        said = self.rule
        things = ",".join(full_names(said.groups, said.resources))
        where = f"-n {','.join(said.namespaces)}" if said.namespaces else "-A"
        return " ".join((",".join(said.verbs), things, *said.names, where))

    def steps(self, types: Mapping[str, ParameterType] = {}) -> tuple[Step, ...]:
        """Return the rule as a single request whose content is not limited."""
        del types
        said = self.rule
        _check_words("verb", said.verbs, _VERB)
        _check_words("group", said.groups, _GROUP)
        _check_words("resource", said.resources, _RESOURCE)
        if "" in said.groups and (why := never_by_rule(said.resources)):
            raise RuleRefused(why)
        self._check_places()
        names, namespaces = tuple(map(name_text, said.names)), tuple(map(namespace_text, said.namespaces))
        return (
            Step(Right(said.verbs, said.groups, said.resources, names, namespaces, said.verbs), ANYTHING),
        )

    def _check_places(self) -> None:
        said = self.rule
        if bool(said.namespaces) == said.cluster:
            raise RuleRefused(
                "needs either `namespaces`, or `cluster: true` for the whole cluster, but not both"
            )
        for group in said.groups:
            for resource in said.resources:
                if said.namespaces and known_resource(group, resource.partition("/")[0]).namespaced is False:
                    raise RuleRefused(f"{resource} don't belong to a namespace: use `cluster: true` instead")
        made = {"create", "deletecollection"} & set(said.verbs)
        if said.names and made and not all("/" in resource for resource in said.resources):
            raise RuleRefused(
                "RBAC can't limit create and deletecollection to names: put them in a separate rule"
            )


def _check_words(what: str, words: tuple[str, ...], pattern: re.Pattern[str]) -> None:
    for word in words:
        if not pattern.fullmatch(word):
            raise RuleRefused(f"{clip(word)} is not an API {what}")
        if ANY in word and word != ANY and not word.startswith("*/"):
            raise RuleRefused(f"{clip(word)} has no meaning in RBAC: write out the subresource")
    if len(set(words)) < len(words):
        raise RuleRefused(f"lists a {what} twice: remove one")


def _form(data: Any) -> str:
    has = data if isinstance(data, dict) else getattr(data, "__dict__", {})
    return next((form for form in ("run", "apply", "rule") if form in has), "run")


Command = Annotated[
    Annotated[KubectlLine, Tag("run")]
    | Annotated[ApplyRule, Tag("apply")]
    | Annotated[WrittenRule, Tag("rule")],
    Discriminator(_form),
]


class KubernetesCommandSet(CommandSetDocument):
    """A named list of allowed commands on a cluster. A published version never changes."""

    kind: Literal["kubernetes"]
    commands: tuple[Command, ...] = Field(max_length=MAX_COMMANDS, description="An empty list allows nothing")

    def in_force(self, rule: CommandRule) -> Mapping[str, Any]:
        """Return the set's defaults that apply to a command, by field."""
        contain = rule.contained if isinstance(rule, KubernetesRule) else None
        return {"contain": contain} if contain else {}

    def problems(self) -> Iterator[Problem]:
        """Yield inconsistencies between the parts of the document, and what RBAC can't express."""
        found = list(super().problems())
        yield from found
        if not found:
            for index, rule in enumerate(self.commands):
                yield from self._free(index, rule)
                yield from _unused(index, rule)
                yield from _unseen(index, rule)

    def _free(self, index: int, rule: KubernetesRule) -> Iterator[Problem]:
        for right in rule.rights():
            for name in (name for text in right.namespaces for name in slots_of(text)):
                if name in rule.where and all_values(rule.where[name]) is None:
                    yield Problem(
                        f"commands[{index}].where.{name}",
                        "a grant has one account for each namespace: declare the parameter under "
                        "parameters, or list the namespaces with choice",
                    )
                    return
        for right in rule.rights():
            yield from self._values(index, rule, right)

    def _values(self, index: int, rule: KubernetesRule, right: Right) -> Iterator[Problem]:
        """Check that the values of `where` result in valid names."""
        slots = [name for name in right.slots if name in rule.where]
        if len(list(zip(range(101), assignments(slots, rule.where), strict=False))) > 100:
            yield Problem(
                f"commands[{index}].where", "has more than 100 combinations of values: narrow its choices"
            )
            return
        for values in assignments(slots, rule.where):
            filled = right.filled(values)
            for text, read in (
                *((one, name_text) for one in filled.names),
                *((one, namespace_text) for one in filled.namespaces),
            ):
                try:
                    read(written(text))
                except RuleRefused as error:
                    name = next(iter(slots_of(right.names[0] if right.names else right.namespaces[0])), "")
                    yield Problem(f"commands[{index}].where" + (f".{name}" if name else ""), error.reason)
                    return


def _unused(index: int, rule: KubernetesRule) -> Iterator[Problem]:
    if isinstance(rule, KubectlLine) and rule.contained is None:
        for key, used in (("end", rule.end != "cut"), ("contain", rule.contain is not None)):
            if used:
                yield Problem(f"commands[{index}].{key}", "is only for `exec`: remove it")


def _unseen(index: int, rule: KubernetesRule) -> Iterator[Problem]:
    """Reject a hold on a rule if a second person could not see what is sent."""
    if rule.held and any(step.check is ANYTHING and _carries(step.right) for step in rule.steps(rule.where)):
        yield Problem(
            f"commands[{index}].hold",
            "a second person can't see what an API verb or a proxy request sends: hold a kubectl line "
            "instead",
        )


def _carries(right: Right) -> bool:
    inside = (resource.partition("/")[2] for resource in right.resources)
    return not set(right.verbs) <= {"get", "list", "watch"} or any(sub in ("proxy", ANY) for sub in inside)

"""The document of a command set for MCP: tools and prompts with limits on their arguments, and resources.

An argument is limited by one value, by ``{name}`` for a parameter value, by a type, by ``{schema: …}``, or by
``{from: result, …}`` to values that an earlier call returned. ``a.b`` is a nested argument. Arguments that
are not listed are refused. Source: Model Context Protocol 2026-07-28, "Tools".
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, StrictBool, StrictStr, Tag

from sessions_app.policy.commands.budgets import uncountable
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import (
    MAX_COMMANDS,
    BudgetedRule,
    BudgetedSet,
    CommandRule,
    Effect,
    Visible,
)
from sessions_app.policy.commands.json_values.placeholders import placeholder_in
from sessions_app.policy.commands.mcp.results import FromResult, field_of
from sessions_app.policy.commands.mcp.shapes import Scalar, Shaped, uncountable_shape
from sessions_app.policy.commands.mcp.uris import Template, template_of
from sessions_app.policy.commands.parameters import Parameter, ParameterType
from sessions_app.policy.documents import Problem

MAX_ARGUMENTS = 50
TOOL_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
# The names of calls that are not of tools. Names of tools have no colon.
READ, PROMPT = "resource:read", "prompt:"
_DENIED_NAME = re.compile(rf"{READ}|(?:{PROMPT})?[A-Za-z0-9_./*-]{{1,128}}")


def _named(name: str) -> str:
    if "*" in name:
        raise ValueError("is a wildcard, which would allow what no one has reviewed: write each name")
    if TOOL_NAME.fullmatch(name) is None:
        raise ValueError("is not a name: use letters, digits and _ . / -, at most 128")
    return name


def _denied(name: str) -> str:
    if _DENIED_NAME.fullmatch(name) is None:
        raise ValueError(
            "is not a tool name: use letters, digits and _ . / -, and * for any of them, at most 128, or "
            f"{READ}, or a prompt's name after {PROMPT}"
        )
    return name


def _readable(text: str) -> str:
    template_of(text)
    return text


def _tag(data: Any) -> str:
    if isinstance(data, Shaped) or (isinstance(data, Mapping) and "schema" in data):
        return "schema"
    if isinstance(data, FromResult) or (isinstance(data, Mapping) and data.get("from") == "result"):
        return "result"
    return "type" if isinstance(data, Mapping | ParameterType) else "value"


Constraint = Annotated[
    Annotated[Scalar, Tag("value")]
    | Annotated[Parameter, Tag("type")]
    | Annotated[Shaped, Tag("schema")]
    | Annotated[FromResult, Tag("result")],
    Discriminator(_tag),
]
AfterUntrusted = Literal["allow", "hold", "refuse"]
Reason = Annotated[Visible, Field(min_length=1, max_length=200)]
ArgumentName = Annotated[StrictStr, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]


class MCPRule(CommandRule):
    """The keys that allowed and denied calls share."""

    @property
    def limited(self) -> Mapping[str, Any]:
        """The limits on arguments, by name."""
        raise NotImplementedError

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that the rule uses, without duplicates."""
        return tuple(dict.fromkeys(name for value in self.limited.values() for name in _names(value)))


class MCPAllow(MCPRule, BudgetedRule):
    """The keys that all allowed calls share."""

    hold: StrictBool = Field(default=False, description="Each call needs the approval of a second person")
    untrusted: StrictBool = Field(
        default=False, description="The results can contain text from outsiders, such as mail or web pages"
    )

    @property
    def name(self) -> str:
        """The name of its calls, as in the record."""
        raise NotImplementedError

    @property
    def source(self) -> str:
        """What results are from: a tool, a prompt, or the resources of a template."""
        return self.name

    @property
    def held(self) -> bool:
        return self.hold or any(
            isinstance(one, FromResult) and one.others is not None for one in self.limited.values()
        )


class MCPCall(MCPAllow):
    """The keys that allowed tools and prompts share."""

    arguments: Mapping[ArgumentName, Constraint] = Field(
        default={},
        max_length=MAX_ARGUMENTS,
        description="Allowed arguments and their values (a.b for nested ones); others are refused",
    )
    optional: tuple[StrictStr, ...] = Field(
        default=(), max_length=MAX_ARGUMENTS, description="Arguments that can be left out"
    )

    @property
    def limited(self) -> Mapping[str, Any]:
        return self.arguments


class MCPTool(MCPCall):
    """One allowed tool."""

    WRITTEN: ClassVar[str] = "tool"
    tool: Annotated[Visible, AfterValidator(_named)] = Field(description="The full name of the tool")
    sinks: tuple[StrictStr, ...] = Field(
        default=(),
        max_length=MAX_ARGUMENTS,
        description="Arguments that determine a destination, or which data is changed or deleted",
    )
    free_sinks: Mapping[StrictStr, Reason] = Field(
        default={},
        max_length=MAX_ARGUMENTS,
        description="Sinks that the holder may choose at each call without approval, each with the reason",
    )
    after_untrusted: AfterUntrusted | None = Field(
        default=None,
        description="What happens to this call after an untrusted result. Default: the `after_untrusted` "
        "of the set",
    )

    @property
    def text(self) -> str:
        """The tool's name."""
        return self.tool

    @property
    def name(self) -> str:
        return self.tool


class MCPPrompt(MCPCall):
    """One allowed prompt of the server. Its arguments are text."""

    WRITTEN: ClassVar[str] = "prompt"
    prompt: Annotated[Visible, AfterValidator(_named)] = Field(description="The full name of the prompt")
    effect: Literal["read"] = Field(default="read", description="A prompt only returns text")

    @property
    def text(self) -> str:
        """The name, with a prefix that distinguishes it from a tool."""
        return f"prompt {self.prompt}"

    @property
    def name(self) -> str:
        return f"{PROMPT}{self.prompt}"


class MCPResource(MCPAllow):
    """Resources that can be read, described by a template for their URIs."""

    WRITTEN: ClassVar[str] = "resource"
    resource: Annotated[Visible, AfterValidator(_readable)] = Field(
        description="The URI. `{name}` and `*` each match one whole part between slashes",
        examples=["ticket://{ticket}/*"],
    )
    effect: Literal["read"] = Field(default="read", description="Resources are only read")

    @property
    def text(self) -> str:
        """The template, with a prefix that distinguishes it from a tool."""
        return f"resource {self.resource}"

    @property
    def name(self) -> str:
        return READ

    @property
    def source(self) -> str:
        return f"resource {self.resource}"

    @property
    def template(self) -> Template:
        """The parsed template."""
        return template_of(self.resource)

    @property
    def limited(self) -> Mapping[str, Any]:
        return {"uri": self.template}


class MCPDeny(MCPRule):
    """A call that is refused, even if another rule allows it."""

    WRITTEN: ClassVar[str] = "deny"
    deny: Annotated[Visible, AfterValidator(_denied)] = Field(
        description="The tool's name; * matches any part"
    )
    arguments: Mapping[ArgumentName, Constraint] | None = Field(
        default=None,
        max_length=MAX_ARGUMENTS,
        description="Refused only with these arguments. Default: refused with any arguments",
    )
    effect: Effect = Field(default="read", description="Not used here")

    @property
    def text(self) -> str:
        """The name, with a prefix that distinguishes it from the call that it restricts."""
        return f"deny {self.deny}"

    @property
    def limited(self) -> Mapping[str, Any]:
        return self.arguments or {}


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, Shaped):
        return value.shape.names
    if isinstance(value, Template):
        return value.names
    name = placeholder_in(value)
    return (name,) if name else ()


# Labels that are not keys of a rule, so that an error's path contains only what is in the document.
_TAGS: Mapping[str, type[MCPRule]] = {
    "denial": MCPDeny,
    "reading": MCPResource,
    "prompting": MCPPrompt,
    "call": MCPTool,
}


def _rule(data: Any) -> str:
    for tag, rule in _TAGS.items():
        if isinstance(data, rule) or (isinstance(data, Mapping) and rule.WRITTEN in data):
            return tag
    return "call"


Allow = MCPTool | MCPPrompt | MCPResource
Rule = Annotated[
    Annotated[MCPTool, Tag("call")]
    | Annotated[MCPPrompt, Tag("prompting")]
    | Annotated[MCPResource, Tag("reading")]
    | Annotated[MCPDeny, Tag("denial")],
    Discriminator(_rule),
]


class MCPCommandSet(BudgetedSet):
    """A named list of allowed tools, prompts and resources. A published version never changes."""

    kind: Literal["mcp"]
    commands: tuple[Rule, ...] = Field(max_length=MAX_COMMANDS, description="An empty list allows nothing")
    after_untrusted: Literal["hold", "refuse"] = Field(
        default="hold",
        description="What happens to calls that change something after the result of an `untrusted` tool",
    )

    @property
    def tools(self) -> frozenset[str]:
        """The names of the tools that the set allows."""
        return frozenset(rule.tool for rule in self.commands if isinstance(rule, MCPTool))

    @property
    def returning(self) -> frozenset[str]:
        """The names of the calls whose results can be the source of arguments."""
        return frozenset(rule.name for rule in self.commands if isinstance(rule, MCPTool | MCPResource))

    @property
    def untrusted(self) -> frozenset[str]:
        """The tools, prompts and resources that the set marks as untrusted."""
        return frozenset(
            rule.source for rule in self.commands if isinstance(rule, MCPAllow) and rule.untrusted
        )

    @property
    def may_hold(self) -> bool:
        changes = (self.after(rule) for rule in self.commands)
        return super().may_hold or (bool(self.untrusted) and "hold" in changes)

    def after(self, rule: Rule) -> AfterUntrusted:
        """Return what happens to a call after an untrusted result."""
        if not isinstance(rule, MCPTool) or rule.effect == "read":
            return "allow"
        return rule.after_untrusted or self.after_untrusted

    def in_force(self, rule: CommandRule) -> Mapping[str, Any]:
        if isinstance(rule, MCPTool) and rule.effect != "read":
            return {"after_untrusted": self.after(rule)}
        return {}

    def sum_fault(self, rule: CommandRule, name: str) -> str:
        if not isinstance(rule, MCPCall) or name not in rule.arguments:
            return "is not one of the arguments: name one"
        if name in rule.optional:
            return "can't be optional, because a call without it has an unknown amount"
        value: Any = rule.arguments[name]
        if isinstance(value, FromResult):
            # Each call checks the value that it gets.
            return ""
        if isinstance(value, Shaped):
            return uncountable_shape(value.shape)
        parameter = placeholder_in(value)
        known = parameter is not None and (parameter in rule.where or parameter in self.parameters)
        return uncountable(self.type_of(rule, str(parameter)) if known else value)

    def free_names(self, rule: CommandRule) -> Iterator[str]:
        for name, value in rule.arguments.items() if isinstance(rule, MCPCall) else ():
            if placeholder_in(value) in rule.where or isinstance(value, ParameterType | Shaped | FromResult):
                yield name

    def problems(self) -> Iterator[Problem]:
        """Yield inconsistencies between the parts of the document."""
        yield from super().problems()
        for index, rule in enumerate(self.commands):
            yield from _argument_problems(f"commands[{index}]", rule)
            yield from _result_problems(f"commands[{index}]", rule, self.returning)
            if isinstance(rule, MCPResource) and rule.template.authority_name in rule.where:
                yield Problem(
                    f"commands[{index}].where.{rule.template.authority_name}",
                    "is the authority of a URI, which can't be chosen at each call: move it to parameters",
                )


def _argument_problems(path: str, rule: Rule) -> Iterator[Problem]:
    for name, constraint in rule.limited.items():
        if isinstance(constraint, ParameterType) and constraint.source is not None:
            yield Problem(
                f"{path}.arguments.{name}",
                "a value that is chosen at each call can't have `from`: use a parameter",
            )
    if isinstance(rule, MCPCall):
        for key in ("optional", "sinks", "free_sinks"):
            for name in getattr(rule, key, ()):
                if name not in rule.limited:
                    yield Problem(f"{path}.{key}", f"{name} is not one of the arguments: remove it")
    names = sorted(rule.limited)
    for outer in names:
        if any(other.startswith(f"{outer}.") for other in names):
            yield Problem(
                f"{path}.arguments.{outer}", "is limited both as a whole and by its keys: keep one of the two"
            )


def _result_problems(path: str, rule: Rule, tools: frozenset[str]) -> Iterator[Problem]:
    for name, constraint in rule.limited.items():
        if not isinstance(constraint, FromResult):
            continue
        where = f"{path}.arguments.{name}"
        if isinstance(rule, MCPDeny):
            yield Problem(where, "a deny can't depend on earlier results: list the values, or use a type")
        for text in constraint.paths:
            if field_of(text, tools) is None:
                yield Problem(
                    where,
                    f"{clip(text)} is not a field of a tool of this set: write it like get_ticket.email",
                )
        if constraint.others is not None and constraint.others.source is not None:
            yield Problem(where, "`hold_others` can't have `from`: use a type")
    if isinstance(rule, MCPTool) and rule.effect == "read" and rule.after_untrusted is not None:
        yield Problem(f"{path}.after_untrusted", "applies only to calls that change something: remove it")

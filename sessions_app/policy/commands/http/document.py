"""The document of a command set for HTTP: requests, with `{name}` where a parameter's value stands."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, Tag

from sessions_app.policy.commands.document import (
    MAX_COMMANDS,
    CommandRule,
    CommandSetDocument,
    Effect,
    Visible,
)
from sessions_app.policy.commands.http.templates import Place, Template, parse_template, place_in
from sessions_app.policy.commands.parameters import Parameter, ParameterType, PathBelow
from sessions_app.policy.documents import Problem

MAX_CONSTRAINTS = 50
Scalar = StrictStr | StrictBool | StrictInt | StrictFloat | None


def _tag(data: Any) -> str:
    return "type" if isinstance(data, Mapping | ParameterType) else "value"


# One value, `{name}` for a parameter's value, or a type.
Constraint = Annotated[
    Annotated[Scalar, Tag("value")] | Annotated[Parameter, Tag("type")], Discriminator(_tag)
]
QueryName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.~-]{1,64}$")]
BodyName = Annotated[StrictStr, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]


class HTTPRule(CommandRule):
    """What allowed and denied requests have in common."""

    query: Mapping[QueryName, Constraint] = Field(
        default={},
        max_length=MAX_CONSTRAINTS,
        description="Allowed query parameters and their values; others are refused",
    )
    body: Mapping[BodyName, Constraint] | None = Field(
        default=None,
        max_length=MAX_CONSTRAINTS,
        description="Allowed keys of the JSON body and their values (a.b for nested keys); others are refused. Only doors that "
        "see the body can allow it",
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it uses, each once. Raises RuleRefused."""
        inside = (place_in(value) for value in (*self.query.values(), *(self.body or {}).values()))
        return tuple(dict.fromkeys((*self.template().names, *(name for name in inside if name))))

    def template(self) -> Template:
        """Method and path. Raises RuleRefused."""
        raise NotImplementedError


class HTTPRequest(HTTPRule):
    """One allowed request."""

    WRITTEN: ClassVar[str] = "request"
    request: Visible = Field(
        min_length=1, max_length=4096, description="Method and path, with {name} for each parameter"
    )
    optional: tuple[StrictStr, ...] = Field(
        default=(), max_length=100, description="Optional names of query and body"
    )
    stream: StrictBool = Field(
        default=False, description="Allow event streams, which the end of a grant does not cut"
    )

    @property
    def text(self) -> str:
        """The request as it is written."""
        return self.request

    def template(self) -> Template:
        """Method and path. Raises RuleRefused."""
        return parse_template(self.request)


class HTTPDeny(HTTPRule):
    """A request that is refused, whatever else would allow it."""

    WRITTEN: ClassVar[str] = "deny"
    deny: Visible = Field(
        min_length=1,
        max_length=4096,
        description="Method (or * for all) and path, with {name} for each parameter",
    )
    effect: Effect = Field(default="read", description="Not used here")

    @property
    def text(self) -> str:
        """The request as it is written, marked, so that it is not taken for the one that it takes away from."""
        return f"deny {self.deny}"

    def template(self) -> Template:
        """Method and path. Raises RuleRefused."""
        return parse_template(self.deny, any_method=True)


def _rule(data: Any) -> str:
    if isinstance(data, HTTPRule):
        return data.WRITTEN
    return "deny" if isinstance(data, Mapping) and "deny" in data else "request"


Rule = Annotated[
    Annotated[HTTPRequest, Tag("request")] | Annotated[HTTPDeny, Tag("deny")], Discriminator(_rule)
]


class HTTPCommandSet(CommandSetDocument):
    """A named list of allowed requests. A published version never changes."""

    kind: Literal["http"]
    commands: tuple[Rule, ...] = Field(max_length=MAX_COMMANDS, description="An empty list allows nothing")

    def problems(self) -> Iterator[Problem]:
        """What its parts say that does not fit together."""
        found = list(super().problems())
        yield from found
        if found:
            return
        for index, rule in enumerate(self.commands):
            path = f"commands[{index}]"
            yield from self._path_places(path, rule)
            yield from _constraints(path, rule)

    def _path_places(self, path: str, rule: HTTPRule) -> Iterator[Problem]:
        """A place of type `path` takes the rest; every other one a segment."""
        pieces = rule.template().pieces
        for position, piece in enumerate(pieces):
            if not isinstance(piece, Place) or not isinstance(self.type_of(rule, piece.name), PathBelow):
                continue
            before = pieces[position - 1] if position else "/"
            if position < len(pieces) - 1 or (isinstance(before, str) and before.endswith("/")):
                yield Problem(
                    f"{path}.{rule.WRITTEN}",
                    f"{{{piece.name}}} is a path, which begins with “/” and takes the rest: write it last, like /files{{file}}",
                )


def _constraints(path: str, rule: HTTPRule) -> Iterator[Problem]:
    for where, among in (("query", rule.query), ("body", rule.body or {})):
        for name, constraint in among.items():
            if isinstance(constraint, ParameterType) and constraint.source is not None:
                yield Problem(
                    f"{path}.{where}.{name}",
                    "a value that is free at each run cannot have `from`: name a parameter",
                )
            if where == "query" and (
                isinstance(constraint, bool) or not isinstance(constraint, str | int | ParameterType)
            ):
                yield Problem(f"{path}.{where}.{name}", "a query holds text: write it in quotes")
    for name in rule.optional if isinstance(rule, HTTPRequest) else ():
        if name not in rule.query and name not in (rule.body or {}):
            yield Problem(f"{path}.optional", f"{name} is not a name of query or body: remove it")
    names = sorted(rule.body or {})
    for outer in names:
        if any(other.startswith(f"{outer}.") for other in names):
            yield Problem(f"{path}.body.{outer}", "is limited itself and inside: write one of the two")

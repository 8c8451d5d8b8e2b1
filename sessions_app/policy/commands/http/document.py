"""The document of a command set for HTTP: requests, with `{name}` in place of a parameter value."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, Tag

from sessions_app.policy.commands.budgets import Budget, uncountable
from sessions_app.policy.commands.document import (
    MAX_COMMANDS,
    BudgetedRule,
    BudgetedSet,
    CommandRule,
    Effect,
    Visible,
)
from sessions_app.policy.commands.http.headers import TOKEN, why_never
from sessions_app.policy.commands.http.limits import (
    MAX_HELD,
    FileLimit,
    ResponseLimit,
    UploadLimit,
)
from sessions_app.policy.commands.http.templates import PathParameter, Template, parse_template
from sessions_app.policy.commands.json_values.placeholders import placeholder_in
from sessions_app.policy.commands.parameters import Parameter, ParameterType, PathBelow
from sessions_app.policy.commands.sizes import say_bytes
from sessions_app.policy.documents import Problem

MAX_CONSTRAINTS = 50
ContentKind = Literal["none", "json", "form", "upload"]
Scalar = StrictStr | StrictBool | StrictInt | StrictFloat | None


def _tag(data: Any) -> str:
    return "type" if isinstance(data, Mapping | ParameterType) else "value"


# A single value, `{name}` for a parameter's value, or a type.
Constraint = Annotated[
    Annotated[Scalar, Tag("value")] | Annotated[Parameter, Tag("type")], Discriminator(_tag)
]
QueryName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.~-]{1,64}$")]
BodyName = Annotated[StrictStr, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]


def _limitable(name: str) -> str:
    if TOKEN.fullmatch(name) is None or name != name.lower():
        raise ValueError("is not a lowercase header name: use letters, digits and -, at most 64")
    if why := why_never(name):
        raise ValueError(why)
    return name


HeaderName = Annotated[StrictStr, AfterValidator(_limitable)]


class HTTPRule(CommandRule):
    """The part that allowed and denied requests share."""

    query: Mapping[QueryName, Constraint] = Field(
        default={},
        max_length=MAX_CONSTRAINTS,
        description="Allowed query parameters and their values; others are refused",
    )
    body: Mapping[BodyName, Constraint] | None = Field(
        default=None,
        max_length=MAX_CONSTRAINTS,
        description=(
            "Allowed keys of the JSON body and their values (a.b for nested keys); others are refused. Only "
            "Stint's own gateway and AuthZEN see the body; other proxies don't"
        ),
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The rule's parameters, without duplicates. Raises RuleRefused."""
        inside = (placeholder_in(value) for _, among in self.limited for value in among.values())
        return tuple(dict.fromkeys((*self.template().names, *(name for name in inside if name))))

    @property
    def limited(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """The limits on values, by the key that contains them."""
        return ("query", self.query), ("body", self.body or {})

    def template(self) -> Template:
        """Return the method and path. Raises RuleRefused."""
        raise NotImplementedError


class HTTPRequest(HTTPRule, BudgetedRule):
    """One allowed request."""

    WRITTEN: ClassVar[str] = "request"
    request: Visible = Field(
        min_length=1, max_length=4096, description="Method and path, with {name} for each parameter"
    )
    optional: tuple[StrictStr, ...] = Field(
        default=(),
        max_length=100,
        description="Names in query, body, form, files and headers that can be left out",
    )
    form: Mapping[BodyName, Constraint] | None = Field(
        default=None,
        max_length=MAX_CONSTRAINTS,
        description="Allowed fields of a form and their values; others are refused",
    )
    files: Mapping[BodyName, FileLimit] = Field(
        default={}, max_length=20, description="Files allowed in a multipart form, by field name"
    )
    upload: UploadLimit | None = Field(
        default=None, description="Allow a body that is neither JSON nor a form, by size and media type"
    )
    headers: Mapping[HeaderName, Constraint] = Field(
        default={},
        max_length=MAX_CONSTRAINTS,
        description=(
            "Request headers that are forwarded, with their values, in addition to the harmless "
            "headers that are always forwarded"
        ),
    )
    hold: StrictBool = Field(default=False, description="Each request needs the approval of a second person")
    response: ResponseLimit | None = Field(
        default=None, description="Which parts of a response are forwarded"
    )
    stream: StrictBool = Field(
        default=False,
        description="Allow event streams, which only Stint's own gateway cuts off when the grant ends",
    )
    websocket: StrictBool = Field(default=False, description="Allow WebSockets")

    @property
    def text(self) -> str:
        """The request as written."""
        return self.request

    @property
    def limited(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return (*super().limited, ("form", self.form or {}), ("headers", self.headers))

    @property
    def held(self) -> bool:
        return self.hold

    @property
    def content(self) -> ContentKind:
        """The kind of body that the rule allows."""
        if self.body is not None:
            return "json"
        if self.form is not None or self.files:
            return "form"
        return "none" if self.upload is None else "upload"

    @property
    def largest(self) -> int:
        """The maximum size of the rule's files or its upload, in bytes."""
        return self.upload.max if self.upload else sum(file.max for file in self.files.values())

    @property
    def needs_gateway(self) -> tuple[str, ...]:
        """The rule's keys that only Stint's own gateway can enforce, in document order."""
        keys = ("form", "files", "upload", "headers", "hold", "budget", "response", "websocket")
        return tuple(key for key in keys if getattr(self, key) not in (None, False, {}, ()))

    def template(self) -> Template:
        """Return the method and path. Raises RuleRefused."""
        return parse_template(self.request)


class HTTPDeny(HTTPRule):
    """A request that is refused even if another rule allows it."""

    WRITTEN: ClassVar[str] = "deny"
    deny: Visible = Field(
        min_length=1,
        max_length=4096,
        description="Method (or * for all) and path, with {name} for each parameter",
    )
    effect: Effect = Field(default="read", description="Not used here")

    @property
    def text(self) -> str:
        """The request as written, with a prefix that distinguishes the deny from the request that it
        restricts.
        """
        return f"deny {self.deny}"

    def template(self) -> Template:
        """Return the method and path. Raises RuleRefused."""
        return parse_template(self.deny, any_method=True)


# Labels that are not keys of a rule, so that an error's path contains only keys from the document.
_ALLOWED, _DENIED = "allowed", "denied"


def _rule(data: Any) -> str:
    denies = isinstance(data, HTTPDeny) or (isinstance(data, Mapping) and "deny" in data)
    return _DENIED if denies else _ALLOWED


Rule = Annotated[
    Annotated[HTTPRequest, Tag(_ALLOWED)] | Annotated[HTTPDeny, Tag(_DENIED)], Discriminator(_rule)
]


class HTTPCommandSet(BudgetedSet):
    """A named list of allowed requests. A published version never changes."""

    kind: Literal["http"]
    commands: tuple[Rule, ...] = Field(max_length=MAX_COMMANDS, description="An empty list allows nothing")

    def sum_fault(self, rule: CommandRule, name: str) -> str:
        if not isinstance(rule, HTTPRequest):
            return "is not counted for this kind of command: remove it"
        if name in rule.optional:
            return "can't be optional, because a request without it has an unknown amount"
        among = next((values for key, values in rule.limited if key != "headers" and name in values), None)
        value: Any = f"{{{name}}}" if among is None else among[name]
        parameter = placeholder_in(value)
        if parameter is None:
            return uncountable(value)
        if parameter not in rule.where and parameter not in self.parameters:
            return "is not in query, body or form, and is not a parameter: name one"
        return uncountable(self.type_of(rule, parameter))

    def free_names(self, rule: CommandRule) -> Iterator[str]:
        yield from super().free_names(rule)
        limited = rule.limited if isinstance(rule, HTTPRequest) else ()
        for _, among in limited:
            yield from (name for name, value in among.items() if isinstance(value, ParameterType))

    def problems(self) -> Iterator[Problem]:
        """Yield inconsistencies between the parts of the document."""
        found = list(super().problems())
        yield from found
        if found:
            return
        for index, rule in enumerate(self.commands):
            path = f"commands[{index}]"
            yield from self._path_places(path, rule)
            yield from _constraints(path, rule)
            if isinstance(rule, HTTPRequest):
                yield from _budget(path, rule, self.budget)

    def _path_places(self, path: str, rule: HTTPRule) -> Iterator[Problem]:
        """Check that a placeholder of type `path` comes last.

        Such a placeholder takes the rest of the path; any other placeholder takes part of one segment.
        """
        pieces = rule.template().pieces
        for position, piece in enumerate(pieces):
            if not isinstance(piece, PathParameter) or not isinstance(
                self.type_of(rule, piece.name), PathBelow
            ):
                continue
            before = pieces[position - 1] if position else "/"
            if position < len(pieces) - 1 or (isinstance(before, str) and before.endswith("/")):
                yield Problem(
                    f"{path}.{rule.WRITTEN}",
                    f"{{{piece.name}}} is a path, which begins with “/” and takes the rest of the path: put"
                    " it last, like /files{file}",
                )


def _constraints(path: str, rule: HTTPRule) -> Iterator[Problem]:
    for where, among in rule.limited:
        for name, constraint in among.items():
            if isinstance(constraint, ParameterType) and constraint.source is not None:
                yield Problem(
                    f"{path}.{where}.{name}",
                    "a value that is chosen at each run can't have `from`: use a parameter",
                )
            if where != "body" and (
                isinstance(constraint, bool) or not isinstance(constraint, str | int | ParameterType)
            ):
                yield Problem(
                    f"{path}.{where}.{name}", f"{where} values must be strings: put the value in quotes"
                )
    names = sorted(rule.body or {})
    for outer in names:
        if any(other.startswith(f"{outer}.") for other in names):
            yield Problem(
                f"{path}.body.{outer}", "is limited both as a whole and by its keys: keep one of the two"
            )
    if isinstance(rule, HTTPRequest):
        yield from _optional(path, rule)
        yield from _content(path, rule)
        yield from _answer(path, rule)


def _optional(path: str, rule: HTTPRequest) -> Iterator[Problem]:
    known = {name for _, among in rule.limited for name in among} | rule.files.keys()
    for name in rule.optional:
        if name not in known:
            yield Problem(
                f"{path}.optional", f"{name} is not in query, body, form, files or headers: remove it"
            )


def _content(path: str, rule: HTTPRequest) -> Iterator[Problem]:
    """Check that there is only one kind of body, and that the method and a hold support it."""
    given = {"body": rule.body, "form": rule.form, "files": rule.files or None, "upload": rule.upload}
    keys = [key for key, value in given.items() if value is not None]
    if len(keys) > 1 and keys != ["form", "files"]:
        yield Problem(
            f"{path}.{keys[1]}", f"a request has one body: keep {keys[0]} or {keys[1]}, or make two commands"
        )
    method = rule.template().method
    if method in ("GET", "HEAD", "OPTIONS") and (rule.content in ("form", "upload") or rule.websocket):
        for key in keys:
            yield Problem(
                f"{path}.{key}", f"a {method} request can't have a body here: use POST, PUT or PATCH"
            )
    for name in rule.files.keys() & (rule.form or {}).keys():
        yield Problem(f"{path}.files.{name}", "is both a field and a file: keep one of the two")
    if rule.hold and rule.largest > MAX_HELD:
        yield Problem(
            f"{path}.hold",
            f"a held request is stored until it is decided: limit its files to {say_bytes(MAX_HELD)} "
            "in total, or remove hold",
        )


def _budget(path: str, rule: HTTPRequest, shared: Sequence[Budget]) -> Iterator[Problem]:
    """Check that the budgets of a request, and of its set, can be enforced."""
    every = (*rule.budget, *shared)
    if rule.largest and any(one.then == "hold" for one in every):
        yield Problem(
            f"{path}.budget", "files and uploads can't wait for an approval: set then: refuse or end"
        )
    if rule.websocket and any(one.bytes is not None for one in every):
        yield Problem(f"{path}.budget", "messages of a WebSocket are not counted: limit calls instead")


def _answer(path: str, rule: HTTPRequest) -> Iterator[Problem]:
    """Check that the limits on the response can be enforced."""
    if rule.websocket and rule.template().method != "GET":
        yield Problem(f"{path}.websocket", "a WebSocket begins with GET: change the method or remove it")
    if rule.websocket and rule.stream:
        yield Problem(
            f"{path}.websocket", "a response is a stream or a WebSocket, not both: make two commands"
        )
    if rule.response is not None and rule.response.fields is not None and (rule.stream or rule.websocket):
        yield Problem(
            f"{path}.response.fields",
            "fields need a JSON response, which a stream or a WebSocket is not: remove one of the two",
        )

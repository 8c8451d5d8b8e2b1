"""The API description: OpenAPI for programs, and a page for people that works without JavaScript."""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from broker.kernel import clock
from sessions_app.api.schema import openapi

_REF = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Member:
    """One parameter, or one field of a body or a response.

    ``shape`` is the name of the member's shape, or of the shape of its items.
    """

    name: str
    where: str
    kind: str
    shape: str
    required: bool
    says: str

    @property
    def is_header(self) -> bool:
        """Whether the parameter is a request header."""
        return self.where == "header"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response of an operation."""

    code: str
    says: str
    shape: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    id: str
    method: str
    path: str
    says: str
    parameters: tuple[Member, ...]
    body: str
    members: tuple[Member, ...]
    sample: Mapping[str, Any] | None
    answers: tuple[Answer, ...]

    @property
    def example(self) -> str:
        """Return an example of the body, with times relative to now; empty if there is no example."""
        return json.dumps(self.sample, cls=_FromNow, indent=2, ensure_ascii=False) if self.sample else ""


class _FromNow(DjangoJSONEncoder):
    """Encodes a timedelta as a time that far from now, rounded to the hour."""

    def default(self, o: Any) -> Any:
        if isinstance(o, dt.timedelta):
            o = (clock.now() + o).replace(minute=0, second=0, microsecond=0)
        return super().default(o)


@require_safe
def schema(_request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI 3.1 description. It contains no personal data, so reading it requires no sign-in."""
    return JsonResponse(
        openapi(),
        encoder=_FromNow,
        content_type="application/vnd.oai.openapi+json",
        json_dumps_params={"indent": 2},
    )


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the description as a page."""
    return render(
        request,
        "api/docs.html",
        {"groups": _groups(), "shapes": _shapes(), "version": openapi()["info"]["version"]},
    )


@functools.cache
def _groups() -> dict[str, list[Operation]]:
    """Return the operations by the first part of their path."""
    found: dict[str, list[Operation]] = {}
    for path, methods in openapi()["paths"].items():
        for method, said in methods.items():
            found.setdefault(said["tags"][0], []).append(_operation(method, path, said))
    return found


@functools.cache
def _shapes() -> dict[str, tuple[str, tuple[Member, ...]]]:
    """Return the description and the fields of each shape."""
    shapes = openapi()["components"]["schemas"]
    return {name: (_plain(said), tuple(_members(said))) for name, said in sorted(shapes.items())}


def _operation(method: str, path: str, said: Mapping[str, Any]) -> Operation:
    content = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = _shape_name(content.get("schema", {}))
    examples = [example["value"] for example in content.get("examples", {}).values()]
    return Operation(
        id=said["operationId"],
        method=method.upper(),
        path=path,
        says=_plain(said),
        parameters=tuple(_parameter(parameter) for parameter in said.get("parameters", [])),
        body=body,
        members=tuple(_members(openapi()["components"]["schemas"][body])) if body else (),
        sample=next(iter(examples), None),
        answers=_answers(said["responses"]),
    )


def _parameter(said: Mapping[str, Any]) -> Member:
    kind, shape = _kind(said["schema"])
    return Member(said["name"], said["in"], kind, shape, said.get("required", False), _plain(said))


def _members(shape: Mapping[str, Any]) -> Iterator[Member]:
    required = shape.get("required", [])
    for name, said in shape.get("properties", {}).items():
        kind, inner = _kind(said)
        yield Member(name, "", kind, inner, name in required, _plain(said))


def _answers(said: Mapping[str, Any]) -> tuple[Answer, ...]:
    """Return the responses. All problems have the same shape and meaning, so they share one entry."""
    good = [
        Answer(
            code,
            _plain(answer),
            _shape_name(next(iter(answer.get("content", {"": {"schema": {}}}).values()))["schema"]),
        )
        for code, answer in said.items()
        if code.startswith("2")
    ]
    problems = ", ".join(code for code in sorted(said) if code.isdecimal() and not code.startswith("2"))
    return (*good, Answer(problems, "", "Problem"))


def _plain(said: Mapping[str, Any]) -> str:
    """Return a description without the backticks of Markdown."""
    return str(said.get("description", "")).replace("`", "")


def _shape_name(said: Mapping[str, Any]) -> str:
    return str(said.get("$ref", "")).removeprefix(_REF)


def _kind(said: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind of value as text, and the name of its shape, or of the shape of its items."""
    if "$ref" in said:
        return "", _shape_name(said)
    if "allOf" in said:
        return _kind(said["allOf"][0])
    if "enum" in said:
        return "one of: " + ", ".join(str(value) for value in said["enum"] if value is not None), ""
    if "oneOf" in said:
        kinds = [_kind(option) for option in said["oneOf"]]
        return " or ".join(kind for kind, _ in kinds if kind), next(
            (shape for _, shape in kinds if shape), ""
        )
    types = said.get("type", "anything")
    kind = " or ".join(types) if isinstance(types, list) else str(types)
    if "items" in said:
        inner, shape = _kind(said["items"])
        return f"list of {inner}".strip(), shape
    return f"{kind} ({said['format']})" if "format" in said else kind, ""

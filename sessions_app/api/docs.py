"""The description of the API: for programs as OpenAPI, for people as a page that needs no script."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from sessions_app.api.schema import openapi

_REF = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Member:
    """One parameter, or one field of a body or an answer. ``shape`` names the shape that it has or lists."""

    name: str
    where: str
    kind: str
    shape: str
    required: bool
    says: str

    @property
    def is_header(self) -> bool:
        """Whether it is sent as a header."""
        return self.where == "header"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of an operation."""

    code: str
    says: str
    shape: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address."""

    id: str
    method: str
    path: str
    says: str
    parameters: tuple[Member, ...]
    body: str
    members: tuple[Member, ...]
    example: str
    answers: tuple[Answer, ...]


@require_safe
def schema(_request: HttpRequest) -> HttpResponse:
    """Answer with the OpenAPI 3.1 description. It says nothing about anybody, so no sign-in is needed."""
    return JsonResponse(
        openapi(), content_type="application/vnd.oai.openapi+json", json_dumps_params={"indent": 2}
    )


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the description to people."""
    return render(
        request,
        "api/docs.html",
        {"groups": _groups(), "shapes": _shapes(), "version": openapi()["info"]["version"]},
    )


@functools.cache
def _groups() -> dict[str, list[Operation]]:
    """Return the operations by the first part of their address."""
    found: dict[str, list[Operation]] = {}
    for path, methods in openapi()["paths"].items():
        for method, said in methods.items():
            found.setdefault(said["tags"][0], []).append(_operation(method, path, said))
    return found


@functools.cache
def _shapes() -> dict[str, tuple[str, tuple[Member, ...]]]:
    """Return what each shape means, with its fields."""
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
        example=json.dumps(examples[0], indent=2, ensure_ascii=False) if examples else "",
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
    """Return the answers; all problems have one shape and mean the same everywhere, so they stand in one line."""
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
    """Return a description without the marks of Markdown."""
    return str(said.get("description", "")).replace("`", "")


def _shape_name(said: Mapping[str, Any]) -> str:
    return str(said.get("$ref", "")).removeprefix(_REF)


def _kind(said: Mapping[str, Any]) -> tuple[str, str]:
    """Return in words what kind of value it is, and the shape that it has or lists."""
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

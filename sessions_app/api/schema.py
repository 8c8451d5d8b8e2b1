"""The API description in OpenAPI 3.1, with every response that an operation can return."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from broker.kernel.problems import CONTENT_TYPE
from sessions_app.api.converters import DESCRIBED
from sessions_app.api.fields import Body, Query, Shape

Handler = TypeVar("Handler", bound=Callable[..., Any])

_ALWAYS = ("401", "403", "429")
_WHEN_CHANGING = ("400", "409", "411", "413", "415", "422", "503")
_MEANINGS = {
    "400": "Invalid request; see `fields`",
    "401": "No valid token or session",
    "403": "Not permitted",
    "404": "Not found, or not visible to you",
    "409": "Conflict with the current state",
    "411": "The Content-Length header is missing",
    "413": "The body is larger than 256 KiB",
    "415": "The body is not JSON",
    "422": "Refused by a rule, or the idempotency key was used for another request",
    "429": "Too many requests; see `Retry-After`",
    "503": "A dependency is unavailable; nothing was changed",
    "default": "Any other problem",
}
_generating = threading.Lock()
_PATH_PART = re.compile(r"<(\w+):(\w+)>")


class RuleShape(Shape):
    """The result of one rule of the policy."""

    rule = serializers.CharField()
    permitted = serializers.BooleanField()
    message = serializers.CharField()
    fix = serializers.CharField(help_text="How to fix the request if the rule denies it; may be empty.")
    offer = serializers.DictField(
        help_text=(
            "Request values that the rule would permit; for `workflow`, a list to choose from. "
            "`review` is not a request value: it names the grants that another person must review "
            "first."
        )
    )


class Problem(Shape):
    """A problem (RFC 9457)."""

    type = serializers.CharField(help_text="The URL of the code's entry in the reference.")
    title = serializers.CharField(help_text="A description of the problem for people.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable code of the problem.")
    instance = serializers.CharField()
    detail = serializers.CharField(required=False, help_text="How to fix the problem.")
    fields = serializers.DictField(  # type: ignore[assignment]  # shadows DRF's attribute
        required=False,
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Errors by field.",
    )
    rules = RuleShape(
        required=False, many=True, help_text="The result of each rule, if a policy denied the request."
    )


class Description(AutoSchema):  # type: ignore[misc]  # drf-spectacular ships no type information
    """Names operations after their view, and adds the problems that each operation can return."""

    def get_operation_id(self) -> str:
        return f"{self.method.lower()}{type(self.view).__name__}"

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        return str(super().get_serializer_name(serializer, direction)).replace("Shape", "")

    def get_override_parameters(self) -> list[Any]:
        key = OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "pattern": "^[!-~]{1,200}$"},
            OpenApiParameter.HEADER,
            description=(
                "A unique string, such as a UUID. A repeated request with the same key has no further "
                "effect and gets the first response, with `Idempotent-Replayed: true`. Keys are stored "
                "for a day."
            ),
        )
        return [key] if self.method == "POST" else []

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        kinds = {name: kind for kind, name in _PATH_PART.findall(self.path_regex)}
        return [
            {"in": "path", "name": name, "required": True, "schema": dict(DESCRIBED[kinds[name]])}
            for name in variables
        ]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        answers: dict[str, Any] = super()._get_response_bodies(direction)
        codes = {*_ALWAYS, "default"}
        if self.method != "GET":
            codes.update(_WHEN_CHANGING)
        elif any(parameter["in"] == "query" for parameter in self._get_parameters()):
            codes.add("400")
        if "{" in self.path:
            codes.add("404")
        if self.path.endswith(("/requests", "/preview")) and self.method == "POST":
            codes.add("404")
        for code in sorted(codes):
            problem = OpenApiResponse(Problem, description=_MEANINGS[code])
            answers[code] = self._get_response_for_code(problem, code, [CONTENT_TYPE], direction)
        return answers


class StrictBodies(OpenApiSerializerExtension):  # type: ignore[misc]  # as above
    """Declares that bodies and queries accept no unknown fields."""

    target_class = "sessions_app.api.fields.Body"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema = auto_schema._map_serializer(  # noqa: SLF001  # the documented way to wrap the default
            self.target, direction, bypass_extensions=True
        )
        return {**schema, "additionalProperties": False}


class BearerTokens(OpenApiAuthenticationExtension):  # type: ignore[misc]  # as above
    """The security scheme for API tokens."""

    target_class = "sessions_app.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An API token of an identity: `stint_…`."}


def tidy(result: Any, **_: Any) -> Any:
    """Remove the generator's internal markers."""
    if isinstance(result, dict):
        return {name: tidy(value) for name, value in result.items() if name != "x-spec-enum-id"}
    return [tidy(value) for value in result] if isinstance(result, list) else result


def described(
    answer: type[serializers.Serializer[Any]] | None,
    *,
    body: type[Body] | None = None,
    query: type[Query] | None = None,
    status: int = 200,
) -> Callable[[Handler], Handler]:
    """Declare a handler's input and response. Its docstring becomes the description."""
    decorate: Callable[[Handler], Handler] = extend_schema(
        request=body, responses={status: answer}, parameters=[query] if query else None
    )
    return decorate


def described_file(media: str) -> Callable[[Handler], Handler]:
    """Declare that a handler returns a file of this type. Its docstring becomes the description."""
    decorate: Callable[[Handler], Handler] = extend_schema(responses={(200, media): OpenApiTypes.STR})
    return decorate


@functools.cache
def paged(shape: type[serializers.Serializer[Any]]) -> type[Shape]:
    """Return the shape of one page of results."""
    following = serializers.CharField(
        allow_null=True, help_text="URL of the next page; null on the last page."
    )
    members = {
        "__doc__": "One page of results.",
        "results": shape(many=True),
        "next": following,
    }
    return type(f"{shape.__name__}Page", (Shape,), members)


def openapi() -> dict[str, Any]:
    """Return the description of the whole API, which is the same for all callers."""
    # The generator changes shared state while it runs, so only one thread can use it at a time.
    with _generating:
        return _generated()


@functools.cache
def _generated() -> dict[str, Any]:
    described: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return described

"""Limits that only Stint's own gateway can enforce: on files, uploads and responses."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    Field,
    StrictStr,
    model_validator,
)

from sessions_app.policy.commands.document import FROZEN
from sessions_app.policy.commands.sizes import Size, say_bytes
from sessions_app.policy.durations import Duration

JSON_TYPE = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
BYTES = "application/octet-stream"

# The gateway keeps files in memory or on disk until the decision, and keeps a held request until the client
# repeats it.
MAX_FILE = 100_000_000
MAX_UPLOAD = 10_000_000_000
MAX_HELD = 10_000_000
MAX_ANSWER = 100_000_000_000
LONGEST_ANSWER = 86_400

_MEDIA = r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}$"
_STEP = re.compile(r"([^.\[\]\x00-\x1f\x7f]{1,128})((?:\[\])*)|((?:\[\])+)")
ITEMS = "[]"


MediaType = Annotated[StrictStr, Field(pattern=_MEDIA, max_length=129)]


def is_json(media: str) -> bool:
    """Whether a media type is JSON (RFC 6839 §3.1)."""
    return media in (JSON_TYPE, "text/json") or media.endswith("+json")


class FileLimit(BaseModel):
    """The limits on one file of a multipart form."""

    model_config = FROZEN
    max: Size = Field(ge=1, le=MAX_FILE, description="Maximum size")
    types: tuple[MediaType, ...] = Field(min_length=1, max_length=50, description="Allowed media types")

    @property
    def limits(self) -> str:
        """The limit as text."""
        return f"{' or '.join(self.types)}, at most {say_bytes(self.max)}"


class UploadLimit(BaseModel):
    """The limits on a body that is neither JSON nor a form. Such a body is never parsed."""

    model_config = FROZEN
    max: Size = Field(ge=1, le=MAX_UPLOAD, description="Maximum size")
    types: tuple[MediaType, ...] = Field(min_length=1, max_length=50, description="Allowed media types")

    @model_validator(mode="after")
    def _not_parsed(self) -> Self:
        for media in self.types:
            if is_json(media):
                raise ValueError(f"{media} is JSON: limit it by its keys, under body")
            if media in (FORM, MULTIPART):
                raise ValueError(f"{media} is a form: limit it by its fields, under form and files")
        return self

    @property
    def limits(self) -> str:
        """The limit as text."""
        return f"{' or '.join(self.types)}, at most {say_bytes(self.max)}"


class ResponseLimit(BaseModel):
    """Which fields of a response may pass, its maximum size, and its maximum duration."""

    model_config = FROZEN
    fields: tuple[StrictStr, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description=(
            "Only these fields of a JSON response are forwarded: a.b for nested fields, items[].price "
            "for the price of each item"
        ),
    )
    max: Size | None = Field(default=None, ge=1, le=MAX_ANSWER, description="Maximum size of the response")
    time: Duration | None = Field(
        default=None, ge=1, le=LONGEST_ANSWER, description="Maximum duration of the response"
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.fields is None and self.max is None and self.time is None:
            raise ValueError("limits nothing: add fields, max or time")
        paths = [steps_of(field) for field in self.fields or ()]
        for at, path in enumerate(paths):
            for other in (*paths[:at], *paths[at + 1 :]):
                if other[: len(path)] == path:
                    raise ValueError(f"lists {self.fields[at]} and a field inside it: keep one of the two")  # type: ignore[index]  # there are paths
        return self


def steps_of(field: str) -> tuple[str, ...]:
    """Return the steps of a response field: `items[].price` is `("items", "[]", "price")`.

    Raises ValueError.
    """
    steps: list[str] = []
    for at, part in enumerate(field.split(".")):
        found = _STEP.fullmatch(part)
        if found is None or (at and found[3]):
            raise ValueError(
                f"{field[:80]} is not a field: write it like price, account.name or items[].price"
            )
        steps += [found[1]] if found[1] else []
        steps += [ITEMS] * (len(found[2] or found[3] or "") // 2)
    return tuple(steps)


def fields_within(inner: Sequence[str] | None, outer: Sequence[str] | None) -> bool:
    """Whether everything that `inner` lets through is also let through by `outer` (None: the whole
    response).
    """
    if outer is None or inner is None:
        return outer is None
    allowed = [steps_of(field) for field in outer]
    return all(any(ours[: len(path)] == path for path in allowed) for ours in map(steps_of, inner))


def response_within(inner: ResponseLimit | None, outer: ResponseLimit | None) -> bool:
    """Whether a response within `inner` is always within `outer`."""
    ours, theirs = inner or _ANY, outer or _ANY
    return (
        fields_within(ours.fields, theirs.fields)
        and _at_most(ours.max, theirs.max)
        and _at_most(ours.time, theirs.time)
    )


def _at_most(ours: int | None, theirs: int | None) -> bool:
    return theirs is None or (ours is not None and ours <= theirs)


# A missing limit, which a document can't state.
_ANY = ResponseLimit.model_construct()


def say_response(limit: ResponseLimit) -> Iterator[str]:
    """Yield the limits on responses as text."""
    if limit.fields is not None:
        yield f"response: only {', '.join(limit.fields)}"
    if limit.max is not None:
        yield f"response: at most {say_bytes(limit.max)}"
    if limit.time is not None:
        yield f"response: at most {limit.time} s"

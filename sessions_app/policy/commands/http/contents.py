"""The content of a request besides its path (a JSON value, a form, an upload or nothing), and the
content's one-line notation.

`POST /notes {"text": "done"}`, `POST /people form {"name": "Ada", "photo": {"bytes": 1024, "name": "a.png",
"type": "image/png"}}`, `PUT /file upload {"bytes": 1024, "type": "application/pdf"}`. `headers {…}` before
the body gives the headers that a rule limits.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sessions_app.policy.commands.json_values.bodies import BodyRefused, Json, canonical_body, read_body


class Unseen:
    """A body that was not passed to the caller."""


class Absent:
    """No body."""


UNSEEN: Final = Unseen()
ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is not parsed, with its media type and its size in bytes.

    ``sha256`` is the hexadecimal digest of the content; empty if not known yet. A held request requires the
    digest.
    """

    media: str
    size: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class File(Upload):
    """A file of a multipart form. ``name`` is the file name that the client sent."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """A form: its fields and its files by name. Each name occurs only once."""

    fields: Mapping[str, str]
    files: Mapping[str, File] = field(default_factory=dict)


Content = Json | Unseen | Absent | Form | Upload


def words_of(content: Content, headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words that follow the target in a request's notation.

    ``headers`` are those that the request's rule limits.
    """
    ahead = ("headers", canonical_body(dict(headers))) if headers else ()
    return (*ahead, *_words_of(content))


def _words_of(content: Content) -> tuple[str, ...]:
    if isinstance(content, Unseen | Absent):
        return ()
    if isinstance(content, Upload):
        return ("upload", canonical_body(_about(content)))
    if isinstance(content, Form):
        files = {name: _about(file) for name, file in content.files.items()}
        return ("form", canonical_body({**content.fields, **files}))
    return (canonical_body(content),)


def _about(upload: Upload) -> dict[str, Json]:
    named = {"name": upload.name} if isinstance(upload, File) else {}
    digest = {"sha256": upload.sha256} if upload.sha256 else {}
    return {"bytes": upload.size, "type": upload.media, **named, **digest}


def read_words(text: str) -> tuple[dict[str, str], Content]:
    """Return the headers and the body that follow the target in a line. Raises BodyRefused."""
    headers: dict[str, str] = {}
    if text.startswith("headers "):
        value, text = _first(text.removeprefix("headers "))
        headers = _texts(value)
    if not text:
        return headers, ABSENT
    word, _, rest = text.partition(" ")
    if word == "upload":
        return headers, _upload(read_body(rest))
    if word == "form":
        return headers, _form(read_body(rest))
    return headers, read_body(text)


def _first(text: str) -> tuple[Json, str]:
    """Return the JSON value at the start of a string, and the words after it."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        raise BodyRefused('headers must be a JSON object: headers {"x-tenant": "acme"}') from None
    if text[end : end + 1] not in ("", " "):
        raise BodyRefused("a space must follow the headers")
    return read_body(text[:end]), text[end + 1 :]


def _texts(value: Json) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise BodyRefused("headers must be a JSON object")
    found = {name: text for name, text in value.items() if isinstance(text, str)}
    if len(found) < len(value):
        raise BodyRefused("the value of a header must be text")
    return found


def _form(value: Json) -> Form:
    if not isinstance(value, Mapping):
        raise BodyRefused('a form must be a JSON object: form {"name": "Ada"}')
    fields = {name: text for name, text in value.items() if isinstance(text, str)}
    return Form(fields, {name: _file(said) for name, said in value.items() if name not in fields})


def _file(value: Json) -> File:
    upload = _upload(value)
    name = value.get("name") if isinstance(value, Mapping) else None
    if not isinstance(name, str):
        raise BodyRefused("a file needs a name")
    return File(upload.media, upload.size, upload.sha256, name)


def _upload(value: Json) -> Upload:
    said = value if isinstance(value, Mapping) else {}
    media, size, digest = said.get("type"), said.get("bytes"), said.get("sha256", "")
    if not isinstance(media, str) or type(size) is not int or size < 0 or not isinstance(digest, str):
        raise BodyRefused(
            'an upload needs its size and type: upload {"bytes": 1024, "type": "application/pdf"}'
        )
    if extra := said.keys() - {"type", "bytes", "sha256", "name"}:
        raise BodyRefused(f"{min(extra)[:40]} does not describe a file: use type, bytes, name and sha256")
    return Upload(media, size, digest)

"""Multipart forms: parsed into fields and files, and serialized anew from them.

Source: RFC 7578, RFC 2046 §5.1.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from sessions_app.policy.commands.http.carried import MAX_FIELDS
from sessions_app.policy.commands.http.contents import File, Form
from sessions_app.policy.commands.http.limits import BYTES
from sessions_app.policy.commands.json_values.bodies import BodyRefused

# In bytes. If a form's files are larger in total, they are kept on disk until the form is decided.
IN_MEMORY = 256 * 1024
MOST_PARTS = 200
MOST_FIELD = 256 * 1024
_PIECE = 256 * 1024
_NAMED = re.compile(
    r'form-data; *name="([^"\\\x00-\x1f\x7f]{1,128})"(?:; *filename="([^"\\\x00-\x1f\x7f]{0,255})")?'
)
_MEDIA = re.compile(
    r"([a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63})(?:; *charset=\"?utf-8\"?)?"
)


class Part:
    """A part that is being read.

    ``text`` is a field's value; ``at`` is a file's offset among the files of its form.
    """

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.name, self.media = "", ""
        self.file_name: str | None = None
        self.at = self.size = 0
        self._text, self._digest = bytearray(), hashlib.sha256()

    def begin(self) -> None:
        """Parse the part's headers. Raises BodyRefused."""
        if extra := self.headers.keys() - {"content-disposition", "content-type"}:
            raise BodyRefused(f"a part has the header {min(extra)[:40]}: remove it")
        found = _NAMED.fullmatch(self.headers.get("content-disposition", ""))
        if found is None:
            raise BodyRefused('a part must begin with Content-Disposition: form-data; name="…"')
        self.name, self.file_name = found[1], found[2]
        said = self.headers.get("content-type", "text/plain" if self.file_name is None else BYTES)
        media = _MEDIA.fullmatch(said.lower())
        if media is None or (self.file_name is None and media[1] != "text/plain"):
            raise BodyRefused(f"the part {self.name} has a media type that can't be checked")
        self.media = media[1]

    @property
    def is_file(self) -> bool:
        return self.file_name is not None

    def take(self, data: bytes) -> None:
        """Add to the part's content. Raises BodyRefused."""
        self.size += len(data)
        if self.is_file:
            self._digest.update(data)
        elif self.size > MOST_FIELD:
            raise BodyRefused(f"the field {self.name} is too long")
        else:
            self._text += data

    @property
    def text(self) -> str:
        """The value of a field. Raises BodyRefused."""
        try:
            return self._text.decode()
        except UnicodeDecodeError:
            raise BodyRefused(f"the field {self.name} is not UTF-8") from None

    @property
    def file(self) -> File:
        """The file's properties for the decision."""
        return File(self.media, self.size, self._digest.hexdigest(), self.file_name or "")


class Parts:
    """A form that is being read, and then its parts. ``close`` deletes the files."""

    def __init__(self, boundary: str) -> None:
        self._parts: list[Part] = []
        # Closed with the form.
        self._files = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self._ended = False
        self._fields = 0
        self._header, self._value = bytearray(), bytearray()
        self._parser = MultipartParser(
            boundary.encode(),
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._headed,
                "on_part_data": self._on_data,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Parse a chunk of the body. Raises BodyRefused."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise BodyRefused("the body is not a multipart form") from None

    def form(self) -> Form:
        """Return the form once it was read completely. Raises BodyRefused."""
        if not self._ended:
            raise BodyRefused("the multipart form is incomplete")
        names = [part.name for part in self._parts]
        if len(set(names)) < len(names):
            raise BodyRefused("a form field is repeated")
        return Form(
            {part.name: part.text for part in self._parts if not part.is_file},
            {part.name: part.file for part in self._parts if part.is_file},
        )

    def close(self) -> None:
        """Delete the files."""
        self._files.close()

    def _begin(self) -> None:
        if len(self._parts) >= MOST_PARTS:
            raise BodyRefused(f"the form has more than {MOST_PARTS} parts")
        self._parts.append(Part())

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        name, headers = self._header.decode("latin-1").lower(), self._parts[-1].headers
        if name in headers:
            raise BodyRefused("a header of a part is repeated")
        try:
            headers[name] = self._value.decode().strip(" \t")
        except UnicodeDecodeError:
            raise BodyRefused("a header of a part is not UTF-8") from None
        self._header.clear()
        self._value.clear()

    def _headed(self) -> None:
        self._parts[-1].begin()
        self._parts[-1].at = self._files.tell()

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        part, piece = self._parts[-1], data[start:end]
        part.take(piece)
        if part.is_file:
            self._files.write(piece)
            return
        self._fields += len(piece)
        if self._fields > MAX_FIELDS:
            raise BodyRefused("the fields of the form are too long")

    def _end(self) -> None:
        self._ended = True

    def files(self) -> Callable[[str], Iterator[bytes]]:
        """Return a function that yields a file's content in chunks, by its field name."""
        found = {part.name: part for part in self._parts if part.is_file}
        return lambda name: self._read(found[name])

    def _read(self, part: Part) -> Iterator[bytes]:
        self._files.seek(part.at)
        left = part.size
        while left and (piece := self._files.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece


class Rebuilt:
    """A form serialized anew: its boundary, its size in bytes, and its chunks."""

    def __init__(self, form: Form, files: Callable[[str], Iterator[bytes]]) -> None:
        self.boundary = secrets.token_hex(16)
        self._form, self._files = form, files
        heads = sum(len(self._head(name)) for name in (*form.fields, *form.files))
        bodies = sum(len(text.encode()) for text in form.fields.values())
        bodies += sum(file.size for file in form.files.values())
        self.size = heads + bodies + 2 * (len(form.fields) + len(form.files)) + len(self._foot)

    @property
    def _foot(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode()

    def _head(self, name: str) -> bytes:
        file = self._form.files.get(name)
        said = f'Content-Disposition: form-data; name="{name}"'
        if file is not None:
            said += f'; filename="{file.name}"\r\nContent-Type: {file.media}'
        return f"--{self.boundary}\r\n{said}\r\n\r\n".encode()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body in chunks."""
        for name, text in self._form.fields.items():
            yield self._head(name) + text.encode() + b"\r\n"
        for name in self._form.files:
            yield self._head(name)
            for piece in self._files(name):
                yield piece
            yield b"\r\n"
        yield self._foot

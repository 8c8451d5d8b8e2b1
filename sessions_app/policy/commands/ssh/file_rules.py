"""File rules: the paths that can be downloaded, uploaded or listed over SFTP, and the limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictStr, field_validator

from sessions_app.policy.commands.argv.lines import LineRefused
from sessions_app.policy.commands.argv.templates import Slot, Template, Word, parse_word
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import CommandRule, Effect, Visible
from sessions_app.policy.commands.parameters import Cidr, Parameter, PathBelow
from sessions_app.policy.commands.sizes import Size, say_bytes
from sessions_app.policy.documents import Problem

Direction = Literal["get", "put", "list"]
DIRECTIONS: tuple[Direction, ...] = ("get", "put", "list")

# Bytes.
DEFAULT_MAX, MOST = 100_000_000, 10_000_000_000
# Characters of a path, and bytes of one name in it, as Linux limits them.
LONGEST_PATH, LONGEST_NAME = 1024, 255
SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST_OF = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")


def _bounded(size: int) -> int:
    if not 1 <= size <= MOST:
        raise ValueError(f"needs at most {say_bytes(MOST)}")
    return size


FilePath = Annotated[Visible, Field(min_length=1, max_length=LONGEST_PATH)]
MaxSize = Annotated[Size, AfterValidator(_bounded)]


def path_fault(path: str) -> str | None:
    """Return, as a clause, why a path is not absolute and in canonical form; None if it is."""
    if not path.startswith("/"):
        return f"{clip(path)} is not an absolute path: begin with “/”"
    names = path[1:].split("/")
    if path != "/" and {"", ".", ".."}.intersection(names):
        return f"{clip(path)} must be written without “.”, “..”, “//” or a trailing slash"
    if len(path) > LONGEST_PATH or any(len(name.encode()) > LONGEST_NAME for name in names):
        return f"{clip(path)} is too long"
    return None


class FileRule(CommandRule):
    """The part that all rules for files share. The path is in the field that `WRITTEN` names."""

    @property
    def direction(self) -> Direction:
        """Whether the path is downloaded, uploaded or listed."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        """The path as written."""
        return str(getattr(self, self.WRITTEN))

    @property
    def text(self) -> str:
        """The rule as a line: `get /var/log/nginx/{file}`."""
        return f"{self.WRITTEN} {self.path}"

    @property
    def names(self) -> tuple[str, ...]:
        """The rule's parameters, without duplicates. Raises LineRefused."""
        return self.template().names

    @property
    def held(self) -> bool:
        """Whether each transfer needs approval."""
        return bool(getattr(self, "hold", False))

    @property
    def as_root(self) -> bool:
        """Always false: sudoers can't list a transfer, so no transfer runs as root."""
        return False

    def template(self) -> Template:
        """Return the words of the rule's line.

        Raises LineRefused for a path that is not absolute or not canonical.
        """
        word = parse_word(self.path)
        if self.path == "/" and self.direction != "list":
            raise LineRefused("`/` is a folder: write the path of a file", 0)
        fault = path_fault("".join("x" if isinstance(piece, Slot) else piece for piece in word))
        if fault is not None:
            raise LineRefused(fault, 0)
        return Template(((self.WRITTEN,), word))


class GetFile(FileRule):
    """A file that can be downloaded, with `{name}` in place of each parameter value."""

    WRITTEN: ClassVar[str] = "get"
    get: FilePath = Field(description="The path, with {name} for each parameter; no value contains a slash")
    max: MaxSize = Field(default=DEFAULT_MAX, description="Maximum size of a file")
    hold: StrictBool = Field(default=False, description="Each download needs a second person's approval")
    effect: Effect = Field(default="read", description="Effect of a download on the target")

    @property
    def direction(self) -> Direction:
        return "get"


class PutFile(FileRule):
    """A file that can be uploaded, with `{name}` in place of each parameter value."""

    WRITTEN: ClassVar[str] = "put"
    put: FilePath = Field(description="The path, with {name} for each parameter; no value contains a slash")
    max: MaxSize = Field(default=DEFAULT_MAX, description="Maximum size of a file")
    sha256: StrictStr | None = Field(
        default=None,
        description="The only SHA-256 that a file may have: 64 hexadecimal digits, or {name} for a"
        " parameter of the whole grant. Default: any, which is recorded",
        examples=["{digest}"],
    )
    mode: StrictStr = Field(
        default="0644", pattern=r"^[0-7]{4}$", description="Permissions of the file", examples=["0640"]
    )
    replace: StrictBool = Field(default=False, description="An existing file can be replaced")
    hold: StrictBool = Field(
        default=False,
        description="Each upload needs the approval of a second person, who sees its size and digest",
    )
    effect: Effect = Field(default="change", description="Effect of an upload on the target")

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is not None and not SHA256.fullmatch(value) and not _DIGEST_OF.fullmatch(value):
            raise ValueError("needs 64 hexadecimal digits, or the {name} of a parameter")
        return value

    @property
    def direction(self) -> Direction:
        return "put"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys((*self.template().names, *([self.digest_name] if self.digest_name else ())))
        )

    @property
    def digest_name(self) -> str | None:
        """The parameter with the digest; None if the rule states the digest or accepts any."""
        found = _DIGEST_OF.fullmatch(self.sha256 or "")
        return found[1] if found else None


class ListFolder(FileRule):
    """A folder whose entries can be listed: their names, types, sizes and times."""

    WRITTEN: ClassVar[str] = "list"
    list: FilePath = Field(description="The path, with {name} for each parameter; no value contains a slash")
    effect: Effect = Field(default="read", description="Effect of a listing on the target")

    @property
    def direction(self) -> Direction:
        return "list"


def file_problems(path: str, rule: FileRule, parameters: Mapping[str, Parameter]) -> Iterator[Problem]:
    """Yield the inconsistencies of a rule. ``path`` is the rule's path in the document; ``parameters``
    are those of the whole set.
    """
    if isinstance(rule, PutFile) and rule.digest_name and rule.digest_name not in parameters:
        yield Problem(
            f"{path}.sha256",
            f"uses {{{rule.digest_name}}}, which must be a parameter of the whole set: declare it under "
            "parameters",
        )
    try:
        names = rule.template().names
    except LineRefused:
        return  # `problems` reports this case
    for name in names:
        if isinstance(rule.where.get(name, parameters.get(name)), PathBelow | Cidr):
            yield Problem(
                f"{path}.{rule.WRITTEN}",
                f"uses {{{name}}}, whose values contain slashes: use name, choice or pattern",
            )


def folder_of(word: Word) -> tuple[str, Word] | None:
    """Return the folder of a path and its last name, if the folder is fixed; None for other paths."""
    head = word[0] if isinstance(word[0], str) else ""
    folder, slash, start = head.rpartition("/")
    rest = word[1:]
    if not slash or any(isinstance(piece, str) and "/" in piece for piece in rest):
        return None
    return folder or "/", (start, *rest) if start else rest

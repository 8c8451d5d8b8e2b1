"""Strict parser for the YAML documents that people write: command sets, policies, catalog files.

A document is plain data: mappings with text keys, lists, text, integers and decimals, true, false and null.
The parser refuses every YAML feature that lets two parsers read one text differently: anchors, aliases, tags,
directives, merge keys, repeated keys, and several documents in one file. Unquoted `yes`, `no`, `on`, `off`,
dates and `1:30` stay text, as in YAML 1.2. JSON text is valid YAML and is parsed by the same function.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sessions_app.policy.plain_messages import MISSING, UNKNOWN_KEY, plain_message
from sessions_app.policy.spelling import suggestion

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_PROBLEMS = 50

Path = tuple[str | int, ...]
Lines = Mapping[Path, int]
Model = TypeVar("Model", bound=BaseModel)

_LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})(\.[0-9]{1,30}|(\.[0-9]{1,30})?[eE][-+]?[0-9]{1,3})")
# YAML allows these characters as escapes, but they are invisible, and a database can't store all of them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WORDS: Mapping[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a document.

    It has the path (`commands[2].run`; empty for the whole document), a message with the problem and its
    fix, and the line number, starting at 1.
    """

    path: str
    message: str
    line: int | None = None

    @property
    def sentence(self) -> str:
        """The message with a capital letter and a period, without the key and the line."""
        message = f"{self.message[:1].upper()}{self.message[1:]}".rstrip(".")
        return message if message.endswith("?") else f"{message}."

    @property
    def said(self) -> str:
        """The problem as a full sentence, like ``Line 4: `max_duration` must be a whole number``, with its
        period.
        """
        file, _, path = self.path.rpartition(": ")
        place = ", ".join(
            part for part in (file, f"{'line' if file else 'Line'} {self.line}" if self.line else "") if part
        )
        return f"{place}: {self._of(path)}" if place else self._of(path)

    @property
    def of_key(self) -> str:
        """The problem like ``said``, but without the line number, for display next to the field."""
        return self._of(self.path.rpartition(": ")[2])

    def _of(self, path: str) -> str:
        key, message = _key_in_words(path), self.sentence
        if not key or key in message:
            return message
        message = message[:1].lower() + message[1:] if self.message[:1].islower() else message
        return about(key, message)

    def __str__(self) -> str:
        place = ", ".join(part for part in (f"line {self.line}" if self.line else "", self.path) if part)
        return f"{place}: {self.message}" if place else self.message


class DocumentError(ValueError):
    """A document that can't be used. `problems` lists all problems, sorted by line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_place))
        super().__init__("\n".join(map(str, self.problems)))


def _place(problem: Problem) -> tuple[str, int]:
    return problem.path.rpartition(": ")[0], problem.line or 0


# Messages with one of these beginnings can follow the name of a key.
_PREDICATES = (
    "is ",
    "are ",
    "needs ",
    "need ",
    "has ",
    "have ",
    "contains ",
    "begins ",
    "must ",
    "may ",
    "can ",
    "can't ",
    "cannot ",
    "names ",
    "uses ",
    "lists ",
    "allows ",
    "takes ",
)


def about(name: str, message: str) -> str:
    """Return a message with the name of what it is about: "lines needs a number from 1 to 9", or
    "unit: `sshd` is not one of nginx".
    """
    return f"{name} {message}" if message.startswith(_PREDICATES) else f"{name}: {message}"


def _key_in_words(path: str) -> str:
    """Return the last key of a path for display: `max_duration`, or entry 2 of `clusters`."""
    found = re.search(r"([^.\[\]]*)((?:\[\d+\])*)$", path)
    name, places = (found[1], re.findall(r"\d+", found[2])) if found else ("", [])
    entry = f"entry {int(places[-1]) + 1}" if places else ""
    return " of ".join(part for part in (entry, f"`{name}`" if name else "") if part)


def path_text(path: Sequence[str | int]) -> str:
    """Format `("commands", 2, "run")` as `commands[2].run`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def line_of(lines: Lines, path: str) -> int | None:
    """Return the line of a path in the form of `path_text` (`commands[2].run`), or of its nearest known
    parent.
    """
    parts = re.findall(r"[^.\[\]]+", path)
    return _line_of(tuple(int(part) if part.isdecimal() else part for part in parts), lines)


def load_yaml(text: str) -> dict[str, Any]:
    """Parse a YAML (or JSON) text that contains a mapping.

    Raises DocumentError with one Problem and its line if the text is not plain data or not a mapping, or if
    it is larger than 256 KiB, or nested deeper than 20 levels.
    """
    return load_yaml_with_lines(text)[0]


def load_yaml_with_lines(text: str) -> tuple[dict[str, Any], Lines]:
    """Like `load_yaml`, but also return the line (from 1) of each value, by its path."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise DocumentError([Problem("", f"the document is larger than {MAX_BYTES // 1024} KiB: split it")])
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise DocumentError([Problem("", "the document is not valid UTF-8: save it as UTF-8")])
    builder = _Builder(_events(text))
    data = builder.document()
    if not isinstance(data, dict):
        raise DocumentError([Problem("", "the document must be a mapping: `key: value` lines", 1)])
    return data, builder.lines


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "the text can't be parsed"
        raise DocumentError(
            [Problem("", f"this is not valid YAML: {what}", mark.line + 1 if mark else None)]
        ) from None


class _Builder:
    """Builds plain data from YAML events, and refuses everything else."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self.lines: dict[Path, int] = {}

    def document(self) -> Any:
        next(self._events)  # start of the stream
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise DocumentError([Problem("", "the document is empty")])
        if start.version or start.tags:
            self._refuse(start, (), "directives (lines that begin with %) are not allowed: remove them")
        data = self._value(next(self._events), ())
        next(self._events)  # end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._refuse(
                after, (), "a file can contain only one document: remove the `---` and everything after it"
            )
        return data

    def _refuse(self, event: Any, path: Path, message: str) -> None:
        raise DocumentError([Problem(path_text(path), message, event.start_mark.line + 1)])

    def _value(self, event: Any, path: Path) -> Any:
        self._check(event, path)
        self.lines[path] = event.start_mark.line + 1
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._scalar(event)

    def _check(self, event: Any, path: Path) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, path, f"aliases (`*{event.anchor}`) are not allowed: write out the value")
        if event.anchor:
            self._refuse(event, path, f"anchors (`&{event.anchor}`) are not allowed: remove the anchor")
        if event.tag:
            self._refuse(event, path, f"tags (`{event.tag}`) are not allowed: write a plain value")
        if isinstance(event, yaml.ScalarEvent) and (found := _CONTROL.search(event.value)):
            code = f"U+{ord(found.group()):04X}"
            self._refuse(event, path, f"the control character {code} is not allowed: remove it")
        if len(path) > MAX_DEPTH:
            self._refuse(event, path[:3], f"the document is nested deeper than {MAX_DEPTH} levels")

    def _mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key in found:
                self._refuse(event, (*path, key), f"the key `{key}` is written twice: keep one")
            value = next(self._events)
            found[key] = self._value(value, (*path, key))
            self.lines[(*path, key)] = event.start_mark.line + 1
        return found

    def _key(self, event: Any, path: Path) -> str:
        self._check(event, path)
        key = self._scalar(event) if isinstance(event, yaml.ScalarEvent) else None
        if not isinstance(key, str):
            self._refuse(event, path, "keys must be text: put the key in quotes")
        if key == "<<":
            self._refuse(event, path, "merge keys (`<<`) are not allowed: write out the keys")
        return str(key)

    def _sequence(self, path: Path) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, (*path, len(found))))
        return found

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text


def problems_of(error: ValidationError, *, data: Any, lines: Lines | None = None) -> list[Problem]:
    """Convert pydantic's errors to plain language, with paths and lines of the document.

    Returns at most 50 problems.
    """
    found = []
    for detail in error.errors(include_url=False, include_input=False)[:MAX_PROBLEMS]:
        path = _written_path(detail["loc"], data)
        if detail["type"] == "too_short" and _written(data, path):
            # The value's entries were invalid, and those errors are reported separately.
            continue
        message = plain_message(detail["type"], detail["msg"], detail.get("ctx", {}), _written(data, path))
        found.append(Problem(path_text(path), message, _line_of(path, lines or {})))
    return found


def spelled(problems: Sequence[Problem], model: type[BaseModel], data: Any) -> list[Problem]:
    """Return the problems, with a suggestion for each misspelled key. A key that was misspelled is then not
    reported as missing.
    """
    unknown = [one.path for one in problems if one.message == UNKNOWN_KEY]
    meant = {path: key for path in unknown if (key := suggestion(model, path, data))}
    found = {re.sub(r"[^.\[\]]+$", key, path) for path, key in meant.items()}
    return [
        replace(one, message=f"is not a known key here. Did you mean `{meant[one.path]}`?")
        if one.path in meant
        else one
        for one in problems
        if one.path not in found or one.message != MISSING
    ]


def _written_path(loc: Sequence[str | int], data: Any) -> Path:
    """Return the location of an error in the document, without pydantic's labels for union members."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int)
        )
        if inside:
            data = data[part] if not isinstance(data, list) or int(part) < len(data) else None
            path.append(part)
        elif position == len(loc) - 1 and isinstance(data, dict) and str(part).replace("_", "").isalnum():
            path.append(part)
    return tuple(path)


def _written(data: Any, path: Path) -> Any:
    """Return the value at a path; None if there is none."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _line_of(path: Path, lines: Lines) -> int | None:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path) if path else None


def validate(model: type[Model], data: Any, *, lines: Lines | None = None) -> Model:
    """Return `data` as a frozen `model`. Raises DocumentError with every problem, with lines if `lines` is
    given.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise DocumentError(spelled(problems_of(error, data=data, lines=lines), model, data)) from None

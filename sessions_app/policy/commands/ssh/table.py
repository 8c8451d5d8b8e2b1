"""The table of known programs: the effects of their words and options, and which uses are harmless.

The facts are in `programs.yaml` beside this module, whose header explains the format. The loader refuses
anything unknown: a misspelled key, danger or kind, or a program that appears twice, is an error with its
line. So no fact is lost silently. The table is loaded when a command set is first linted, and then cached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from sessions_app.policy.commands.document import FROZEN, Effect
from sessions_app.policy.commands.findings import Severity
from sessions_app.policy.documents import DocumentError, Problem, load_yaml_with_lines, validate

PROGRAMS = Path(__file__).with_name("programs.yaml")

# Dangers: the non-obvious effects that a program can have on its target, or through it.
Can = Literal[
    "run",
    "write",
    "read",
    "network",
    "stop",
    "accounts",
    "kernel",
    "settings",
    "destroy",
    "outlive",
    "other_systems",
]
# The role of a word for a program: plain text, a file that is read or written, the name of an object, code to
# run, or a file mode. `none`: no word is allowed there.
Kind = Literal["text", "read", "write", "name", "code", "mode", "none"]
REST = "..."
ANY_OPTION, NUMBER_OPTION = "*", "-#"
_TOKEN = re.compile(r"(-{0,2}[A-Za-z0-9?@%+_][^=\s]*|-#|-|\*)(=([a-z]*))?")


def _words(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


Words = Annotated[tuple[StrictStr, ...], BeforeValidator(_words)]


class Danger(BaseModel):
    """One way in which a command can do harm.

    In a sentence, `why` follows the cause. `effect` is its minimum effect.

    `contained`: a PID namespace (`contain: pidns`) prevents it.
    """

    model_config = FROZEN
    can: Can
    severity: Severity
    why: StrictStr = Field(min_length=10)
    fix: StrictStr = Field(min_length=10)
    effect: Effect = "read"
    contained: StrictBool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One known option.

    `takes`: a value follows. An option without a `danger` does only what its `effect` says.
    """

    name: str
    takes: bool
    kind: Kind
    danger: str | None = None
    effect: Effect = "read"


class Shape(BaseModel):
    """How one program, or one verb of it, may be used.

    Anything not listed is unknown, and never accepted silently.
    """

    model_config = FROZEN
    is_: Words = Field(default=(), alias="is", description="Dangers of every use")
    effect: Effect = Field(default="change", description="The minimum effect of every use")
    options: Words = Field(default=(), description="Harmless options")
    changes: Words = Field(default=(), description="Options that change the target")
    destroys: Words = Field(default=(), description="Options that destroy something")
    danger: Mapping[StrictStr, StrictStr] = Field(default={}, description="Options, with the danger of each")
    needs: Mapping[StrictStr, StrictStr] = Field(
        default={}, description="The danger if none of these options is present"
    )
    words: Mapping[StrictStr, StrictStr] = Field(
        default={}, description="Operands, with * and ?, and the danger of each"
    )
    operands: Words = Field(
        default=("none",),
        description="The kind of each operand. The last one repeats, or the one before `...`",
    )
    verbs: Mapping[StrictStr, Shape] = Field(
        default={}, description="The shape of each verb, by the first operand"
    )
    bare: Shape | None = Field(
        default=None, description="The shape without operands, in place of `is` and `effect`"
    )
    wraps: StrictInt | None = Field(
        default=None, ge=0, le=3, description="The number of operands before a nested command"
    )
    assigns: StrictBool = Field(
        default=False, description="Whether NAME=value may precede the nested command"
    )
    single_dash: StrictBool = Field(default=False, description="Whether long options begin with one dash")
    undashed: StrictBool = Field(default=False, description="Whether letters without a dash are also options")
    abbreviates: StrictBool = Field(
        default=False, description="Whether verbs and words can be abbreviated, including those of its verbs"
    )

    @cached_property
    def known(self) -> Mapping[str, Option]:
        """Return all options of the shape, by name."""
        return {option.name: option for option in self._options()}

    @cached_property
    def by_verb(self) -> Mapping[str, Shape]:
        """The shape of each verb, by name."""
        return {verb: shape for verbs, shape in self.verbs.items() for verb in verbs.split()}

    @cached_property
    def globs(self) -> tuple[tuple[str, str], ...]:
        """Each glob of `words` with its danger, in order."""
        return tuple((glob, code) for globs, code in self.words.items() for glob in globs.split())

    @cached_property
    def loose(self) -> tuple[tuple[str, str], ...]:
        """The globs of words that are dangerous options although they have no dash, each with its danger."""
        return tuple(
            (f"*{one.name}*" if self.undashed else f"{one.name}=*", one.danger)
            for one in self.known.values()
            if one.danger and not one.name.startswith("-")
        )

    @cached_property
    def takes_any_option(self) -> bool:
        """Whether all options are harmless except those listed as dangers."""
        return ANY_OPTION in self.options

    @cached_property
    def has_pairs(self) -> bool:
        """Whether the program takes `key=value` words."""
        return any(not name.startswith("-") and name != ANY_OPTION for name in self.known)

    def _options(self) -> Iterator[Option]:
        levels: tuple[tuple[tuple[str, ...], Effect], ...] = (
            (self.options, "read"),
            (self.changes, "change"),
            (self.destroys, "destructive"),
        )
        for tokens, effect in levels:
            for token in tokens:
                yield _option(token, effect=effect)
        for tokens_, danger in self.danger.items():
            for token in tokens_.split():
                yield _option(token, danger=danger)

    def problems(self, path: str, dangers: Mapping[str, Danger]) -> Iterator[Problem]:
        """Yield inconsistencies in the shape."""
        yield from _bad_tokens(path, self)
        for code in (*self.is_, *self.danger.values(), *self.needs.values(), *self.words.values()):
            if code not in dangers:
                yield Problem(path, f"`{code}` is not a danger of this table")
        for kind in self.operands:
            if kind != REST and kind not in get_args(Kind):
                yield Problem(path, f"`{kind}` is not a kind of operand")
        yield from _twice(path, [verb for verbs in self.verbs for verb in verbs.split()])
        if self.abbreviates and "*" in every_verb(self):
            yield Problem(
                path,
                "can be abbreviated: list its verbs in place of `*`, because one could be mistaken for "
                "another",
            )
        for verbs, shape in self.verbs.items():
            yield from shape.problems(f"{path}.{verbs}", dangers)
        if self.bare is not None:
            yield from self.bare.problems(f"{path}.bare", dangers)


def _option(token: str, *, effect: Effect = "read", danger: str | None = None) -> Option:
    name, equals, kind = token.partition("=")
    return Option(name, bool(equals), kind or "text", danger, effect)  # type: ignore[arg-type]  # checked by _bad_tokens


def _bad_tokens(path: str, shape: Shape) -> Iterator[Problem]:
    groups = [*shape.danger, *shape.needs]
    listed = [
        *shape.options,
        *shape.changes,
        *shape.destroys,
        *(token for group in shape.danger for token in group.split()),
    ]
    for token in {*listed, *(token for group in groups for token in group.split())}:
        found = _TOKEN.fullmatch(token)
        if not found or (found[3] and found[3] not in get_args(Kind)):
            yield Problem(path, f"`{token}` is not an option of the form -x, --long, -x= or -x=kind")
    yield from _twice(path, [token.partition("=")[0] for token in listed])


def _twice(path: str, names: list[str]) -> Iterator[Problem]:
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Problem(path, f"`{name}` appears twice: keep one")


class Places(BaseModel):
    """Sensitive files, by content.

    Each entry is the beginning of an absolute path, or a part between or after slashes.
    """

    model_config = FROZEN
    secrets: Words
    raw: Words = Field(description="Devices and memory, which expose every file")
    decisive: Words = Field(
        description="Files that decide who can log in, and which programs run as which account"
    )
    settings: Words
    traces: Words = Field(description="Logs that later show who did what")
    homes: Words = Field(description="Folders in which every file can decide who can log in")
    not_written: Words = Field(description="Places that discard what is written")


class Document(BaseModel):
    """The whole file."""

    model_config = FROZEN
    dangers: Mapping[StrictStr, Danger]
    places: Places
    environment: Words = Field(
        description="Variables that make a program load or start something else; * matches any characters"
    )
    harmless_environment: Words = Field(
        description="Variables that are harmless to every program; * matches any characters"
    )
    everywhere: Shape = Field(description="The dangers to look for in unknown programs and options")
    programs: Mapping[StrictStr, Shape]


@dataclass(frozen=True)
class Table:
    """The facts, indexed for lookups."""

    dangers: Mapping[str, Danger]
    places: Places
    environment: tuple[str, ...]
    harmless_environment: tuple[str, ...]
    everywhere: Shape
    programs: Mapping[str, Shape]

    def shape_of(self, program: str) -> Shape | None:
        """Return the shape of a program by its name; None if unknown. `python*` stands for python, python3
        and python3.11.
        """
        return self.programs.get(program) or self.programs.get(_VERSION.sub("", program) + "*")


_VERSION = re.compile(r"-?[0-9][0-9.]*$")


@lru_cache(maxsize=1)
def table() -> Table:
    """Return the table shipped with Stint. Raises DocumentError if it is invalid."""
    return read_table(PROGRAMS.read_text(encoding="utf-8"))


def read_table(text: str) -> Table:
    """Parse a table from YAML. Raises DocumentError, with line numbers, for anything ambiguous."""
    data, lines = load_yaml_with_lines(text)
    document = validate(Document, data, lines=lines)
    problems = list(_problems(document))
    if problems:
        raise DocumentError(problems)
    programs = {name: shape for names, shape in document.programs.items() for name in names.split()}
    return Table(
        document.dangers,
        document.places,
        document.environment,
        document.harmless_environment,
        document.everywhere,
        programs,
    )


def _problems(document: Document) -> Iterator[Problem]:
    names = [name for group in document.programs for name in group.split()]
    yield from _twice("programs", names)
    shapes = {
        "everywhere": document.everywhere,
        **{f"programs.{key}": one for key, one in document.programs.items()},
    }
    for path, shape in shapes.items():
        yield from shape.problems(path, document.dangers)
    used = {code for shape in shapes.values() for code in codes_of(shape)}
    for code in document.dangers.keys() - used - BUILT_IN:
        yield Problem(f"dangers.{code}", "no program has this danger: remove it")
    for code in sorted(BUILT_IN - document.dangers.keys()):
        yield Problem("dangers", f"`{code}` is missing, but the linter itself needs it")


# Dangers that depend on the role or location of a word, not only on the program.
BUILT_IN = frozenset(
    (
        "suid",
        "world_writable",
        "writes_decisive",
        "writes_settings",
        "writes_home",
        "secrets_below",
        "environment",
        "raw",
        "relative_program",
        "writable_path",
    )
)


def every_verb(shape: Shape) -> set[str]:
    """Return all verbs of a shape, including nested ones."""
    return set(shape.by_verb).union(*map(every_verb, shape.verbs.values()))


def codes_of(shape: Shape) -> set[str]:
    """Return all dangers of a shape, including its verbs and its use without operands."""
    own = {*shape.is_, *shape.danger.values(), *shape.needs.values(), *shape.words.values()}
    inner = [*shape.verbs.values(), *([shape.bare] if shape.bare else [])]
    return own.union(*map(codes_of, inner))

"""Check one command against the table of programs, to find its non-obvious effects.

A word that is not in the table is never skipped, but reported as a hit. Programs that start another one
(`sudo`, `timeout`, `busybox`) are followed to that program, at any depth.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from sessions_app.policy.commands.findings import Severity
from sessions_app.policy.commands.ssh.hits import Hit, only_effect
from sessions_app.policy.commands.ssh.lint_values import WRITABLE, below
from sessions_app.policy.commands.ssh.modes import mode_code
from sessions_app.policy.commands.ssh.places import file_codes, keeps_nothing
from sessions_app.policy.commands.ssh.reading import (
    abbreviated_option,
    dangers_of,
    find_option,
    is_count,
    is_one_of,
    kinds_of,
    value_behind,
    verbs_of,
)
from sessions_app.policy.commands.ssh.table import NUMBER_OPTION, Option, Shape, Table
from sessions_app.policy.commands.ssh.words import Spoken

# Directories of the programs in the table. A file elsewhere can have the same name and be a different
# program.
_FOLDERS = (
    "/bin/",
    "/sbin/",
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/local/bin/",
    "/usr/local/sbin/",
    "/usr/libexec/",
    "/usr/lib/",
)
_INIT = ("/etc/init.d/", "/etc/rc.d/init.d/", "/etc/rc.d/")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_DEEPEST = 8
_NARROW = (
    "list the values with choice, or exclude that word with a pattern or with fixed text around the value"
)


@dataclass(frozen=True, slots=True)
class _At:
    """The state of the check of one program: its shapes, innermost first, its name with its verbs, and
    its options.
    """

    shapes: tuple[Shape, ...]
    title: str
    seen: frozenset[str]

    @property
    def abbreviates(self) -> bool:
        return any(shape.abbreviates for shape in self.shapes)

    @property
    def undashed(self) -> bool:
        return any(shape.undashed for shape in self.shapes)


def judge(table: Table, words: Sequence[Spoken], *, says_read: bool) -> list[Hit]:
    """Return all hits of a command. `says_read`: its effect is read, so anything unknown is an error."""
    return list(
        _Judge(table, says_read=says_read, any_free=any(word.is_free for word in words)).program(words, 0)
    )


class _Judge:
    def __init__(self, table: Table, *, says_read: bool, any_free: bool) -> None:
        self._table = table
        self._says_read = says_read
        self._any_free = any_free

    def program(self, words: Sequence[Spoken], depth: int) -> Iterator[Hit]:
        """Check a program and the words after it."""
        texts = words[0].texts
        if texts is None or depth > _DEEPEST:
            yield Hit(
                "error",
                "free_verb",
                words[0].text,
                "is not fixed, although it decides which program runs",
                "write out the program's name",
            )
            return
        for text in texts:
            yield from self._named(text, words[1:], depth)

    def _named(self, path: str, words: Sequence[Spoken], depth: int) -> Iterator[Hit]:
        name = path.rpartition("/")[2]
        yield from self._place(path)
        if path.startswith(_INIT):
            path, name, words = "service", "service", [Spoken((name,), name), *words]
        shape = self._table.shape_of(name)
        if shape is not None and [word.text for word in words] == ["--version"]:
            yield only_effect(name, "read")
            return
        elsewhere = "/" in path and not path.startswith(_FOLDERS)
        if shape is None or elsewhere:
            takes = ", and it takes values that the holder chooses at each run" if self._any_free else ""
            yield self._unknown(
                "unknown_program",
                path,
                f"is not a known program: it could do anything{takes}",
                "check what the program does, and state that in the reason when you "
                "accept the finding; set effect: change, and list the values with choice",
            )
        if shape is None:
            yield from self._everywhere(name, words)
        elif any(self._table.dangers[code].severity == "error" for code in shape.is_):
            # Further words can't make the program less dangerous.
            yield from self._whole(_At((shape,), name, frozenset()), shape)
        else:
            yield from self._shape(_At((shape,), name, frozenset()), words, depth)

    def _place(self, path: str) -> Iterator[Hit]:
        """Check the location of a program's file."""
        if ("/" in path and path != posixpath.normpath(path)) or (not path.startswith("/") and "/" in path):
            yield self._danger("relative_program", path)
        if below(path, WRITABLE):
            yield self._danger("writable_path", path)

    def _unknown(self, code: str, shown: str, why: str, fix: str) -> Hit:
        return Hit("error" if self._says_read else "warning", code, shown, why, fix)

    def _danger(self, code: str, shown: str, *, severity: Severity | None = None) -> Hit:
        danger = self._table.dangers[code]
        return Hit(
            severity or danger.severity, code, shown, danger.why, danger.fix, danger.effect, danger.contained
        )

    def _everywhere(self, title: str, words: Sequence[Spoken]) -> Iterator[Hit]:
        """Find the dangers of words whose meaning is unknown, as for any program."""
        for word in words:
            yield from self._one_unknown(title, word)

    def _one_unknown(self, title: str, word: Spoken) -> Iterator[Hit]:
        everywhere = self._table.everywhere
        option = everywhere.known.get(word.text.partition("=")[0])
        if option is not None and option.danger:
            yield self._danger(option.danger, f"{title} {option.name}")
        for text in word.texts or (word.text,):
            for glob, code in everywhere.globs:
                if fnmatchcase(text.lower(), glob):
                    yield self._danger(code, f"{title} {text}")
            yield from self._environment(text)

    def _environment(self, text: str) -> Iterator[Hit]:
        name, equals, _ = text.partition("=")
        if equals and is_one_of(name.removesuffix("+"), self._table.environment):
            yield self._danger("environment", f"{name}=")

    def _assigned(self, word: Spoken) -> Iterator[Hit]:
        """Check a variable for the program that follows. Those for language, time zone and display are
        harmless.
        """
        name = word.text.partition("=")[0]
        yield from (known := list(self._environment(word.text)))
        if not known and not is_one_of(name, self._table.harmless_environment):
            yield self._unknown(
                "unknown_variable",
                f"{name}=",
                "is not a known variable: it may decide what a program loads or starts",
                "remove it, or check what it does and state that in the reason when you accept the finding",
            )

    def _shape(self, at: _At, words: Sequence[Spoken], depth: int) -> Iterator[Hit]:
        """Read the options and operands of a program or verb, to its end or to the program that it starts."""
        shape, operands, position = at.shapes[0], list[Spoken](), 0
        seen = set(at.seen)
        while position < len(words):
            word = words[position]
            if word.text == "--":
                position += 1  # some programs also accept options after `--`
            elif self._is_option(at, word):
                taken, hits = self._option(at, words[position:], seen)
                if at.undashed:
                    yield from self._words(at, word)
                yield from hits
                position += taken
            elif shape.wraps is not None or shape.verbs:
                break
            else:
                operands.append(word)
                position += 1
        at = _At(at.shapes, at.title, frozenset(seen))
        if shape.wraps is not None:
            yield from self._wrapper(at, words[position:], depth)
        elif shape.verbs:
            yield from self._verb(at, words[position:], depth)
        else:
            yield from self._end(at, operands)

    def _end(self, at: _At, operands: Sequence[Spoken]) -> Iterator[Hit]:
        """Check a program or verb once all of its words are read."""
        shape = at.shapes[0]
        whole = shape.bare if shape.bare is not None and not operands else shape
        yield from self._whole(at, whole)
        for word, kind in zip(operands, kinds_of(shape.operands, len(operands)), strict=True):
            yield from self._operand(at, word, kind)

    def _whole(self, at: _At, shape: Shape) -> Iterator[Hit]:
        yield only_effect(at.title, shape.effect)
        for code in shape.is_:
            yield self._danger(code, at.title)
        for one in (shape, *(outer for outer in at.shapes if outer is not shape)):
            for options, code in one.needs.items():
                if at.seen.isdisjoint(options.split()):
                    yield self._danger(code, at.title)

    def _verb(self, at: _At, words: Sequence[Spoken], depth: int) -> Iterator[Hit]:
        shape = at.shapes[0]
        if not words:
            yield from self._whole(at, shape.bare or shape)
            return
        if words[0].texts is None and shape.operands == ("none",):
            yield Hit(
                "error",
                "free_verb",
                at.title,
                "has a parameter in place of its verb, so its action is not fixed",
                "write one command for each verb, or use choice",
            )
            return
        yield from self._words(at, words[0])
        if shape.operands != ("none",):
            yield from self._value(at.title, words[0], shape.operands[0])
        for verb, inner in verbs_of(shape, words[0], abbreviates=at.abbreviates):
            title = f"{at.title} {verb}"
            if inner is None:
                yield self._unknown(
                    "unknown_verb",
                    title,
                    "is not a known command: it may do anything",
                    "check what it does, and state that in the reason when you accept the finding",
                )
                yield from self._everywhere(title, words[1:])
            else:
                yield from self._shape(_At((inner, *at.shapes), title, at.seen), words[1:], depth)

    def _wrapper(self, at: _At, words: Sequence[Spoken], depth: int) -> Iterator[Hit]:
        shape = at.shapes[0]
        while shape.assigns and words and _ASSIGNMENT.match(words[0].head):
            yield from self._assigned(words[0])
            words = words[1:]
        skipped, inner = words[: shape.wraps], words[shape.wraps :]
        if shape.operands == ("text",) and not all(map(is_count, skipped)):
            skipped, inner = (), words  # only a number, a time or a mask is skipped
        for word, kind in zip(skipped, kinds_of(shape.operands, len(skipped)), strict=True):
            yield from self._operand(at, word, kind)
        whole = shape.bare if shape.bare is not None and not inner else shape
        yield from self._whole(at, whole)
        if inner:
            yield from self.program(inner, depth + 1)

    def _is_option(self, at: _At, word: Spoken) -> bool:
        if word.head.startswith("-"):
            return len(word.text) > 1 or any("-" in shape.known for shape in at.shapes)
        if at.undashed:
            return word.head[:1].isalpha()
        name, equals, _ = word.head.partition("=")
        return bool(equals) and any(name in shape.known for shape in at.shapes if shape.has_pairs)

    def _option(self, at: _At, words: Sequence[Spoken], seen: set[str]) -> tuple[int, list[Hit]]:
        """Read one option and its value. Return the number of words consumed, and the hits."""
        word = words[0]
        name, equals, _ = word.head.partition("=")
        is_long = not name.startswith("-") and not at.undashed
        is_long = is_long or name.startswith("--") or any(one.single_dash for one in at.shapes)
        if not is_long and (len(word.pieces) > 1 or not find_option(at.shapes, name)):
            return self._cluster(at, words, seen)
        if not equals and len(word.pieces) > 1:
            return 1, [self._free_option(at, word)]
        option = find_option(at.shapes, name) or abbreviated_option(at.shapes, name)
        if option is None:
            return 1, self._unknown_option(at, word)
        seen.add(option.name)
        value = word.after(len(name) + 1) if equals else value_behind(option, words)
        return 2 if value is not None and not equals else 1, self._known(at, option, value)

    def _cluster(self, at: _At, words: Sequence[Spoken], seen: set[str]) -> tuple[int, list[Hit]]:
        """Read combined one-letter options: `-xzf`, or `xzf` if they need no dash.

        An option with a value takes the rest, or the next word.
        """
        word, hits = words[0], list[Hit]()
        if re.fullmatch(r"-[0-9]+", word.text) and (number := find_option(at.shapes, NUMBER_OPTION)):
            return 1, self._known(at, number, None)
        dash = "-" if word.head.startswith("-") else ""
        for index, letter in enumerate(word.head[len(dash) :], start=len(dash)):
            option = find_option(at.shapes, dash + letter)
            if option is None and any(shape.takes_any_option for shape in at.shapes):
                continue
            if option is None:
                return 1, hits + self._unknown_option(at, word)
            seen.add(option.name)
            if option.takes:
                rest = word.after(index + 1)
                value = rest if rest.text else value_behind(option, words)
                return 2 if value is not None and not rest.text else 1, hits + self._known(at, option, value)
            hits += self._known(at, option, None)
        return 1, hits + ([self._free_option(at, word)] if len(word.pieces) > 1 else [])

    def _free_option(self, at: _At, word: Spoken) -> Hit:
        return Hit(
            "error",
            "free_option",
            f"{at.title} {word.text}",
            "can be any option, because it is a parameter",
            "write out the option",
        )

    def _unknown_option(self, at: _At, word: Spoken) -> list[Hit]:
        if any(shape.takes_any_option for shape in at.shapes):
            return []
        harmless = self._table.everywhere.known.get(word.text)
        if harmless is not None and harmless.danger is None:
            return []
        known = list(self._one_unknown(at.title, word))
        return known or [
            self._unknown(
                "unknown_option",
                f"{at.title} {word.text}",
                "is not a known option",
                "remove it, or check what it does and state that in the reason when you accept the finding",
            )
        ]

    def _known(self, at: _At, option: Option, value: Spoken | None) -> list[Hit]:
        shown = f"{at.title} {option.name}"
        hits = [only_effect(shown, option.effect)]
        if option.kind == "write" and value is not None and keeps_nothing(self._table.places, value):
            return hits
        if option.danger:
            is_open = value is not None and value.texts is None
            hits.append(self._danger(option.danger, shown, severity="error" if is_open else None))
        if value is not None:
            hits += self._value(shown, value, option.kind)
        return hits

    def _operand(self, at: _At, word: Spoken, kind: str) -> Iterator[Hit]:
        yield from self._words(at, word)
        yield from self._value(at.title, word, kind)

    def _words(self, at: _At, word: Spoken) -> Iterator[Hit]:
        """Check each word against every meaning that it can have in the shapes."""
        for code, shown in dangers_of(at.shapes, word, abbreviates=at.abbreviates):
            hit = self._danger(code, f"{at.title} {shown}")
            yield hit if word.texts is not None else replace(hit, fix=_NARROW)

    def _value(self, shown: str, word: Spoken, kind: str) -> Iterator[Hit]:
        """Check the dangers of a word in its role for the program."""
        if kind == "none":
            yield self._unknown(
                "unknown_word",
                f"{shown} {word.text}",
                "has an unknown word",
                "remove it, or check what it does and state that in the reason when you accept the finding",
            )
        elif kind in ("read", "write"):
            for code in file_codes(self._table.places, word, writes=kind == "write"):
                yield self._danger(code, f"{shown} {word.text}")
        elif kind == "mode":
            yield from self._mode(shown, word)
        if kind in ("name", "code", "mode") and not (
            word.is_named if kind == "name" else word.texts is not None
        ):
            severity: Severity = "error" if kind != "name" or word.is_free else "warning"
            fix = "list the intended values with choice" + (
                ", or begin the word with fixed text: web-{name}" if kind == "name" else ""
            )
            yield Hit(
                severity,
                f"free_{kind}",
                f"{shown} {word.text}",
                "does not determine the object that it acts on, or the code that it runs",
                fix,
            )

    def _mode(self, shown: str, word: Spoken) -> Iterator[Hit]:
        for text in word.texts or ():
            if code := mode_code(text):
                yield self._danger(code, f"{shown} {text}")

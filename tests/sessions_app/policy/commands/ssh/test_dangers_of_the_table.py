"""Each dangerous word, verb and option of the table, in every form that a command can give it, has
a finding.
"""

import re
from collections.abc import Iterator

import pytest

from sessions_app.policy.commands.parameters import Choice, Name, ParameterType, Pattern
from sessions_app.policy.commands.ssh.judge import judge
from sessions_app.policy.commands.ssh.table import Shape, table
from sessions_app.policy.commands.ssh.words import Spoken, WordParameter
from sessions_app.policy.commands.within import accepts

NAME = Name.model_validate({"name": 60})
Line = tuple[Spoken, ...]


def said(*words: str) -> Line:
    return tuple(Spoken((word,), word) for word in words)


def value(type_: ParameterType, before: str = "") -> Spoken:
    return Spoken(
        (before, WordParameter(type_, free=True)) if before else (WordParameter(type_, free=True),),
        f"{before}{{n}}",
    )


def choice(text: str) -> Choice:
    return Choice.model_validate({"choice": [text]})


def forms(word: str, *, abbreviates: bool) -> Iterator[Spoken]:
    """A word as it is, as its beginnings, and as what a value can be."""
    beginnings = [word[:length] for length in range(1, len(word))] if abbreviates else []
    for text in (word, *beginnings):
        yield from said(text)
        if not text.startswith("-"):
            yield value(choice(text))
    yield value(Pattern.model_validate({"pattern": re.escape(word)}))
    if accepts(NAME, word):
        yield value(NAME)


def sample(glob: str) -> str:
    return glob.replace("[*?]", "*").replace("[0-9]", "1").replace("*", "x").replace("?", "x")


def lines_of(shape: Shape, before: tuple[str, ...], *, abbreviates: bool) -> Iterator[Line]:
    """Every dangerous line of a program or verb: with each of its words, verbs and options."""
    abbreviates = abbreviates or shape.abbreviates
    words = [(sample(glob), ()) for glob, _ in (*shape.globs, *shape.loose)]
    verbs = [
        (verb, ("x",) if inner.bare else ())
        for verb, inner in shape.by_verb.items()
        if verb != "*" and (inner.is_ or inner.effect != "read")
    ]
    for word, after in (*words, *verbs):
        for form in forms(word, abbreviates=abbreviates):
            yield (*said(*before), form, *said(*after))
    for option in shape.known.values():
        if (option.danger or option.effect != "read") and option.name.startswith("-"):
            yield from _options(shape, before, option.name)
    for verbs, inner in shape.verbs.items():
        verb = "x" if verbs == "*" else verbs.split()[0]
        yield from lines_of(inner, (*before, verb), abbreviates=abbreviates)


def _options(shape: Shape, before: tuple[str, ...], name: str) -> Iterator[Line]:
    start = said(*before)
    yield (*start, *said(name, "x"))
    yield (*start, value(NAME, "-"), *said("x"))
    if name.startswith("--"):
        yield (*start, value(choice(name[2:]), "--"), *said("x"))
        if not shape.single_dash:
            beginnings = {name[:length] for length in range(3, len(name))} - shape.known.keys()
            yield from ((*start, *said(beginning, "x")) for beginning in beginnings)


SHAPES = {id(shape): (name, shape) for name, shape in table().programs.items()}


@pytest.mark.parametrize(("name", "shape"), SHAPES.values(), ids=[name for name, _ in SHAPES.values()])
def test_no_danger_of_a_program_passes_as_reading_without_a_finding(name, shape):
    lines = list(lines_of(shape, (name,), abbreviates=False))
    silent = [
        " ".join(word.text if word.texts is None else "|".join(word.texts) for word in line)
        for line in lines
        if not any(hit.code or hit.effect != "read" for hit in judge(table(), line, says_read=True))
    ]
    assert silent == []

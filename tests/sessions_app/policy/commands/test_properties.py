"""Properties that hold for every line: words survive quoting, and nothing that is added to a line is allowed
by it.
"""

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import CompileError, Refused
from sessions_app.policy.commands.argv.lines import LineRefused, parse_line
from sessions_app.policy.commands.argv.quoting import quote_argv, readable
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import parse_document
from sessions_app.policy.commands.parameters import ValueRefused
from sessions_app.policy.commands.ssh.decide import (
    Allowed,
    CompiledSet,
    compile_open,
    compile_set,
    decide,
    decide_argv,
    describe,
    lines_for,
)
from tests.support.breadth import examples

FORBIDDEN = ";&|<>()$`~*?[]{}#!\n\r\0\t\u200b\u202e\ufeff\x1b"
NASTY = FORBIDDEN + "'\"\\=- /a.:"

lines = st.lists(
    st.sampled_from(
        [*NASTY, "ls", "nginx", "systemctl", "é", "'", '"', " ", "\\", "a=b", "-n", "''", '"x y"', "'$;|'"]
    ),
    max_size=25,
).map("".join)
visible = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=20)
first_words = st.text(string.ascii_letters + string.digits + "/._", min_size=1, max_size=12)


def parsed(line: str) -> tuple[str, ...] | None:
    try:
        return parse_line(line)
    except LineRefused:
        return None


@settings(max_examples=examples(1000))
@given(lines)
def test_a_refused_line_has_a_reason_and_a_place(line):
    if parsed(line) is None:
        with pytest.raises(LineRefused) as caught:
            parse_line(line)
        error = caught.value
        assert error.reason
        assert 0 <= error.position <= len(line)
        assert error.position == 0 or error.character in line[error.position :]


@settings(max_examples=examples(1000))
@given(lines)
def test_an_accepted_line_quoted_and_parsed_again_gives_the_same_words(line):
    argv = parsed(line)
    if argv is not None:
        assert parse_line(quote_argv(argv)) == argv
        assert parse_line(readable(argv)) == argv


@settings(max_examples=examples(500))
@given(first_words, st.lists(visible, max_size=6))
def test_words_of_visible_characters_survive_quoting_and_parsing(program, words):
    argv = (program, *words)
    try:
        assert parse_line(quote_argv(argv)) == argv
    except LineRefused as error:
        hidden = any(not char.isprintable() or "not printable" in error.reason for char in "".join(argv))
        assert hidden or parsed(program) is None


DOCUMENT = parse_document(
    {
        "name": "all-types",
        "kind": "ssh",
        "summary": "One command for each type",
        "risk": "high",
        "parameters": {"unit": {"choice": ["nginx", "haproxy"]}, "ticket": {"from": "workflow.id"}},
        "commands": [
            {"run": "systemctl restart {unit}", "effect": "change"},
            {
                "run": "note --ticket={ticket} {text}",
                "where": {"text": {"pattern": "[ -~]*"}},
                "effect": "change",
            },
            {
                "run": "tail -n {n} {file}",
                "where": {"n": {"int": [-10, 100]}, "file": {"path": "/var/log"}},
                "effect": "read",
            },
            {
                "run": "copy {a}:{b}@{c}",
                "where": {"a": {"path": "/srv"}, "b": {"name": 9}, "c": {"cidr": ["10.0.0.0/8"]}},
                "effect": "destructive",
                "hold": True,
            },
            {
                "run": "wait {d} '{d} {e}'",
                "where": {"d": {"duration": ["1s", "5m"]}, "e": {"pattern": ".+"}},
                "effect": "read",
            },
            {
                "run": "systemctl {verb} {unit}",
                "where": {"verb": {"choice": ["stop", "restart"]}},
                "effect": "change",
                "hold": True,
            },
        ],
    }
)
BINDINGS = {"unit": "nginx", "ticket": "CHG-1"}
COMPILED = compile_set(DOCUMENT, BINDINGS)

word_parts = st.sampled_from(
    [
        "systemctl",
        "restart",
        "stop",
        "nginx",
        "haproxy",
        "note",
        "--ticket=CHG-1",
        "--ticket=",
        "CHG-1",
        "tail",
        "-n",
        "5",
        "-5",
        "101",
        "/var/log/x",
        "/var/log/../x",
        "/etc/passwd",
        "copy",
        "/srv/a:b@10.0.0.1",
        "/srv/a",
        ":",
        "@",
        "wait",
        "1s",
        "'1s x'",
        "5m",
        "-x",
        "'a b'",
        "\\;",
        "''",
        "..",
        "/",
        ".",
        "é",
    ]
)
near_lines = st.lists(st.one_of(word_parts, st.lists(word_parts, max_size=3).map("".join)), max_size=5).map(
    " ".join
)

VALUES = {
    "text": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    "n": st.integers(-15, 110).map(str),
    "file": st.lists(st.sampled_from(["a", "..", ".", "", "-x", "b c", "$x"]), max_size=4).map(
        lambda parts: "/var/log/" + "/".join(parts)
    ),
    "a": st.sampled_from(["/srv/a", "/srv/a:b", "/srv/a@b", "/srv", "/etc", "/srv/../etc"]),
    "b": st.sampled_from(["b", "-b", "b@c", "b:c", "", "bbbbbbbbbb"]),
    "c": st.sampled_from(["10.0.0.1", "10.0.0.0/9", "11.0.0.1", "10.0.0.01", "x"]),
    "d": st.sampled_from(["1s", "5m", "6m", "01s", "s"]),
    "e": st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    "verb": st.sampled_from(["stop", "restart", "start", "stop;", "--stop"]),
}


def rebuilt(verdict: Allowed) -> tuple[str, ...]:
    """The command's text with its values put in by plain replacement."""
    rule = DOCUMENT.commands[verdict.index]
    values = {**BINDINGS, **verdict.matched}
    return tuple(
        "".join(piece if isinstance(piece, str) else values[piece.name] for piece in word)
        for word in rule.template().words
    )


def holds(verdict: Allowed) -> None:
    """What every allowed command must be, whatever the line was."""
    rule = DOCUMENT.commands[verdict.index]
    assert rebuilt(verdict) == verdict.argv
    assert set(verdict.matched) == set(rule.where)
    for name, value in verdict.matched.items():
        assert rule.where[name].accept(value) == value
        assert value == str(int(value)) if name == "n" else not value.startswith("-")
        assert ".." not in value.split("/") or name not in ("file", "a")
    assert not any(char in word for word in verdict.argv for char in "\n\r\0\t\u200b\u202e\ufeff\x1b")


@settings(max_examples=examples(1500))
@given(near_lines)
def test_an_allowed_line_is_a_listed_command_with_values_of_its_types(line):
    verdict = decide(COMPILED, line)
    if isinstance(verdict, Allowed):
        holds(verdict)
        assert parse_line(verdict.line) == verdict.argv
        assert isinstance(decide(compile_open(DOCUMENT), line), Allowed)
    else:
        assert verdict.reason


@settings(max_examples=examples(1500))
@given(st.data())
def test_a_form_never_gives_more_than_a_typed_line(data):
    view = data.draw(st.sampled_from(describe(COMPILED)))
    values = {free.name: data.draw(VALUES[free.name]) for free in view.free}
    verdict = lines_for(COMPILED, view.index, values)
    if isinstance(verdict, Allowed):
        holds(verdict)
        assert decide(COMPILED, quote_argv(verdict.argv)) == verdict
        assert decide_argv(COMPILED, verdict.argv) == verdict
    else:
        assert isinstance(verdict, Refused)


PLAIN_ALLOWED = [
    "systemctl restart nginx",
    "note --ticket=CHG-1 hello",
    "tail -n 5 /var/log/x",
    "copy /srv/a:b@10.0.0.1",
]


@settings(max_examples=examples(1000))
@given(
    st.sampled_from([*PLAIN_ALLOWED, "note --ticket=CHG-1 'a b'", "wait 1s '1s $x;'"]),
    lines,
    st.integers(0, 60),
)
def test_text_put_into_a_line_is_refused_or_stays_inside_a_value(line, added, at):
    verdict = decide(COMPILED, line[:at] + added + line[at:])
    if isinstance(verdict, Allowed):
        holds(verdict)


@settings(max_examples=examples(500))
@given(
    st.sampled_from(["nginx", "haproxy"]), st.text(max_size=10) | st.sampled_from(["CHG-1", "A"]), near_lines
)
def test_binding_a_parameter_never_allows_more_than_leaving_it_open(unit, ticket, line):
    compiled = _compiled(DOCUMENT, {"unit": unit, "ticket": ticket})
    if compiled is not None and isinstance(decide(compiled, line), Allowed):
        assert isinstance(decide(compile_open(DOCUMENT), line), Allowed)


def _compiled(document: CommandSetDocument, bindings: dict[str, str]) -> CompiledSet | None:
    try:
        return compile_set(document, bindings)
    except CompileError:
        return None


TYPES: list[Any] = [
    *(rule.where[name] for rule in DOCUMENT.commands for name in rule.where),
    *DOCUMENT.parameters.values(),
]


@settings(max_examples=examples(1500))
@given(
    st.sampled_from(TYPES), st.text(max_size=15) | st.text(NASTY, max_size=10) | st.one_of(*VALUES.values())
)
def test_a_normal_value_is_accepted_as_it_stands_and_only_a_normal_one(type_, text):
    try:
        normal = type_.normalize(text)
    except ValueRefused:
        normal = None
    try:
        accepted = type_.accept(text)
    except ValueRefused:
        accepted = None
    assert accepted is None or accepted == normal == text
    if normal is not None:
        assert type_.accept(normal) == normal

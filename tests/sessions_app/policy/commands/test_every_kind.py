"""What holds of the command sets of every kind."""

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, CompileError, Refused
from sessions_app.policy.commands.kinds import (
    compile_open,
    compile_set,
    decide,
    describe,
    kind_names,
    lint,
    parse_document,
)


@dataclass(frozen=True)
class Sample:
    """Commands of a kind: two that fit `line`, one that fits `other` alone, and one that the linter has much
    to say of.
    """

    loose: dict[str, Any]
    strict: dict[str, Any]
    line: str
    apart: dict[str, Any]
    other: str
    doubtful: dict[str, Any]
    deny: tuple[str, str] | None = None


SAMPLES = {
    "ssh": Sample(
        {"run": "ls {x}", "where": {"x": {"name": 9}}},
        {"run": "ls a"},
        "ls a",
        {"run": "id"},
        "id",
        {"run": "sh -c {x}", "where": {"x": {"pattern": ".*"}}},
    ),
    "http": Sample(
        {"request": "GET /a/{x}", "where": {"x": {"name": 9}}},
        {"request": "GET /a/b"},
        "GET /a/b",
        {"request": "GET /c"},
        "GET /c",
        {"request": "POST /"},
        ("GET /d", "GET /d"),
    ),
    "mcp": Sample(
        {"tool": "t", "arguments": {"x": {"name": 9}}},
        {"tool": "t", "arguments": {"x": "a"}},
        't {"x": "a"}',
        {"tool": "u"},
        "u",
        {"tool": "delete_all", "arguments": {"x": {"pattern": ".*"}}},
        ("v*", "v"),
    ),
    "kubernetes": Sample(
        {"run": "get pod {x} -n shop", "where": {"x": {"name": 9}}},
        {"run": "get pod web -n shop"},
        "get pod web -n shop",
        {"run": "get nodes"},
        "get nodes",
        {"run": "delete pods -A"},
    ),
    "postgres": Sample(
        {"grant": "SELECT ON app.orders"},
        {"grant": "SELECT (id) ON app.orders"},
        "SELECT (id) ON app.orders",
        {"grant": "ROLE reader"},
        "ROLE reader",
        {"grant": "ROLE postgres"},
    ),
    "mariadb": Sample(
        {"grant": "SELECT ON shop.orders"},
        {"grant": "SELECT (id) ON shop.orders"},
        "SELECT (id) ON shop.orders",
        {"grant": "EXECUTE ON FUNCTION shop.total"},
        "EXECUTE ON FUNCTION shop.total",
        {"grant": "SELECT ON mysql.global_priv"},
    ),
}
HOLDS = [kind for kind in SAMPLES if kind not in ("postgres", "mariadb")]
each_kind = pytest.mark.parametrize("kind", SAMPLES)


def document(kind, *commands):
    """A set of commands, which read unless they say otherwise."""
    made = [one if "deny" in one else {"effect": "read", **one} for one in commands]
    return parse_document({"name": "a-set", "kind": kind, "summary": "s", "risk": "low", "commands": made})


def test_every_kind_has_a_sample():
    assert set(SAMPLES) == set(kind_names())


@each_kind
def test_an_empty_list_allows_nothing(kind):
    assert decide(compile_open(document(kind)), SAMPLES[kind].line).code == "empty"


@each_kind
def test_of_several_commands_that_fit_the_strictest_effect_decides_in_any_order(kind):
    sample = SAMPLES[kind]
    for commands in permutations([sample.loose, {**sample.strict, "effect": "destructive"}]):
        assert decide(compile_open(document(kind, *commands)), sample.line).effect == "destructive"


@pytest.mark.parametrize("kind", HOLDS)
def test_of_several_commands_that_fit_the_held_one_decides_in_any_order(kind):
    sample = SAMPLES[kind]
    for commands in permutations([sample.loose, {**sample.strict, "hold": True}, sample.strict]):
        assert decide(compile_open(document(kind, *commands)), sample.line).hold


@each_kind
def test_what_approvers_left_out_is_refused_as_that_and_the_rest_keep_their_numbers(kind):
    sample = SAMPLES[kind]
    whole = document(kind, sample.strict, sample.apart)
    narrowed = compile_set(whole, {}, keep=[1])
    assert decide(narrowed, sample.line).code == "left_out"
    assert decide(narrowed, sample.other).index == 1
    assert [view.index for view in describe(narrowed)] == [1]
    assert decide(compile_set(whole, {}, keep=[]), sample.other).code == "left_out"
    for unknown in (2, -1):
        with pytest.raises(CompileError, match=f"no command {unknown}"):
            compile_set(whole, {}, keep=[0, unknown])


@pytest.mark.parametrize("kind", [kind for kind, sample in SAMPLES.items() if sample.deny])
def test_what_is_denied_stays_denied_whatever_approvers_left_out(kind):
    sample = SAMPLES[kind]
    deny, line = sample.deny
    kept = compile_set(document(kind, sample.strict, sample.apart, {"deny": deny}), {}, keep=[0])
    assert isinstance(decide(kept, sample.line), Allowed)
    assert decide(kept, line).code == "denied"


@each_kind
@given(st.text(max_size=60))
def test_deciding_never_fails_and_what_is_allowed_is_allowed_again(kind, text):
    sample = SAMPLES[kind]
    compiled = compile_open(document(kind, sample.loose, sample.apart))
    for line in (text, f"{sample.line}{text}", f"{sample.line.partition(' ')[0]} {text}"):
        found = decide(compiled, line)
        assert isinstance(found, Allowed | Refused)
        assert isinstance(found, Refused) or decide(compiled, found.line).line == found.line


@each_kind
def test_every_finding_says_where_why_and_how_to_fix_it_and_errors_come_first(kind):
    sample = SAMPLES[kind]
    found = lint(document(kind, sample.loose, sample.doubtful))
    assert [one.severity for one in found] == sorted(one.severity for one in found)
    assert {one.severity for one in found} == {"error", "warning"}
    for one in found:
        assert len(one.message) > 20
        assert len(one.fix) > 10
        assert one.where.startswith(("commands", "parameters", "examples"))

"""Whatever a delegated set of calls allows, the set that it was delegated from allows, and as strictly."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_app.policy.commands.kinds import covers
from tests.sessions_app.policy.commands.test_covers import compiled, effects, holds_for, types
from tests.support.breadth import examples

SHAPES = [
    {"schema": {"type": "string", "enum": ["a", "{p}"]}},
    {"schema": {"type": "array", "items": {"type": "string", "maxLength": 1}}},
    {"schema": {"type": "integer", "minimum": 1, "maximum": 3}},
]
limits = st.one_of(types, st.sampled_from(["a", "b", "{p}", "{x}", 1, True, None]), st.sampled_from(SHAPES))


@st.composite
def calls(draw) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for tool in draw(st.lists(st.sampled_from(["t", "u"]), min_size=1, max_size=3)):
        arguments = {name: draw(limits) for name in draw(st.sets(st.sampled_from(["q", "r"])))}
        call = {"tool": tool, "arguments": arguments, "effect": draw(effects), "hold": draw(st.booleans())}
        if "{x}" in map(str, arguments.values()):
            call["where"] = {"x": draw(types)}
        if arguments and draw(st.booleans()):
            call["optional"] = sorted(arguments)[:1]
        if arguments and draw(st.booleans()):
            call["sinks"] = [max(arguments)]
        if arguments and draw(st.booleans()):
            call["free_sinks"] = {max(arguments): "for a test"}
        found.append(call)
    denies = draw(st.lists(st.sampled_from(["t", "u*", "T"]), max_size=1))
    return found + [
        {"deny": deny, **draw(st.sampled_from([{}, {"arguments": {"q": "a"}}, {"arguments": {"q": "{p}"}}]))}
        for deny in denies
    ]


VALUES = ['"a"', '"b"', '"1"', "1", "2", "9", "true", "null", '["a"]', '["ab"]', '"5s"', '"/a/x"', "{}"]
LINES = [
    *(f"{tool} {{}}" for tool in "tu"),
    *(f'{tool} {{"{name}": {value}}}' for tool in "tu" for name in "qr" for value in VALUES),
    *(f't {{"q": {one}, "r": {other}}}' for one in VALUES[:9] for other in VALUES[:9]),
]


@settings(max_examples=examples(200))
@given(calls(), calls(), st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"]), st.data())
def test_calls(commands, others, bound, other, data):
    parameters = {"p": {"name": 9}}
    keep = None
    if data.draw(st.booleans()):
        others = commands
        keep = data.draw(st.sets(st.integers(0, len(commands) - 1), min_size=1))
    parent = compiled("mcp", commands, parameters, {"p": bound})
    holds_for(parent, compiled("mcp", others, parameters, {"p": other}, keep), LINES)


READ = {
    "tool": "read",
    "arguments": {"id": "{p}", "full": {"int": [1, 9]}},
    "optional": ["full"],
    "effect": "read",
}


def one(*commands, value="a"):
    return compiled("mcp", list(commands), {"p": {"name": 9}}, {"p": value})


def test_what_is_narrowed_or_left_out_is_within():
    less = {"tool": "read", "arguments": {"id": "{p}", "full": {"int": [2, 3]}}, "effect": "read"}
    exact = {"tool": "read", "arguments": {"id": "a"}, "effect": "read"}
    for child in (one(READ), one(less), one(exact), one(exact, value="b"), one(READ, READ)):
        assert covers(one(READ), child) is None


@pytest.mark.parametrize(
    ("child", "says"),
    [
        (one(READ, value="b"), "not covered by the grant"),
        (
            one({"tool": "read", "arguments": {"id": "{p}", "more": 1}, "effect": "read"}),
            "not covered by the grant",
        ),
        (
            one({"tool": "read", "arguments": {"id": "{p}", "full": {"int": [1, 10]}}, "effect": "read"}),
            "not covered by the grant",
        ),
        (one({"tool": "write", "effect": "read"}), "not covered by the grant"),
    ],
)
def test_what_is_wider_in_one_way_is_not(child, says):
    assert says in covers(one(READ), child)


@pytest.mark.parametrize(
    "call",
    [
        {"arguments": {"id": {"schema": {"type": "string", "enum": ["a", "{p}"]}}}},
        {"arguments": {"id": "{x}", "again": "{x}"}, "where": {"x": {"name": 9}}},
    ],
    ids=["a shape with a value of the grant", "a value that is the same twice"],
)
def test_a_call_is_within_itself_and_not_within_one_for_another_value(call):
    made = one({"tool": "read", "effect": "read", **call})
    assert covers(made, made) is None
    assert (
        covers(made, one({"tool": "read", "effect": "read", "arguments": {"id": "b", "again": "c"}}))
        is not None
    )


def test_holds_and_denies_stay():
    held = {**READ, "hold": True}
    assert "the approval that each call requires" in covers(one(held), one(READ))
    assert covers(one(held), one(held)) is None
    deny = {"deny": "re*"}
    assert "denied" in covers(one(READ, deny), one(READ))
    assert covers(one(READ, deny), one(READ, deny)) is None


@pytest.mark.parametrize(
    ("type_", "ours", "theirs"),
    [
        ("boolean", True, 1),
        ("number", 1, 1.0),
        ("string", {"schema": {"type": "string"}}, {"schema": {"type": "string", "const": None}}),
    ],
)
def test_a_deny_of_what_is_the_same_to_python_alone_is_another_one(type_, ours, theirs):
    drop = {"tool": "drop", "arguments": {"all": {"schema": {"type": type_}}}, "effect": "change"}
    parent = one(drop, {"deny": "drop", "arguments": {"all": ours}})
    assert "denied" in covers(parent, one(drop, {"deny": "drop", "arguments": {"all": theirs}}))
    assert covers(parent, parent) is None

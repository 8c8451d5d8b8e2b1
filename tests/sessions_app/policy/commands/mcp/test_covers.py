"""Whatever a delegated set of calls allows, the set that it was delegated from allows, and as strictly."""

from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.json_values.bodies import read_body
from sessions_app.policy.commands.kinds import covers
from sessions_app.policy.commands.mcp.decide import decide_call
from sessions_app.policy.commands.mcp.results import ResultField, Seen, Untrusted
from tests.sessions_app.policy.commands.test_covers import compiled, effects, holds_for, types
from tests.support.breadth import examples

SHAPES = [
    {"schema": {"type": "string", "enum": ["a", "{p}"]}},
    {"schema": {"type": "array", "items": {"type": "string", "maxLength": 1}}},
    {"schema": {"type": "integer", "minimum": 1, "maximum": 3}},
]
FROM = [
    {"from": "result", "fields": fields, **more}
    for fields in (["t.a"], ["t.a", "t.b"])
    for more in (
        {},
        {"hold_others": {"name": 3}},
        {"hold_others": {"choice": ["a"]}},
        {"list": 1},
        {"list": 2},
    )
]
limits = st.one_of(
    types,
    st.sampled_from(["a", "b", "{p}", "{x}", 1, True, None]),
    st.sampled_from(SHAPES),
    st.sampled_from(FROM),
)


@st.composite
def calls(draw) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for tool in ["t", *draw(st.lists(st.sampled_from(["t", "u"]), max_size=2))]:
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
        call["untrusted"] = draw(st.booleans())
        if call["effect"] != "read":
            call["after_untrusted"] = draw(st.sampled_from([None, "allow", "hold", "refuse"]))
        found.append(call)
    denies = draw(st.lists(st.sampled_from(["t", "u*", "T"]), max_size=1))
    return found + [
        {"deny": deny, **draw(st.sampled_from([{}, {"arguments": {"q": "a"}}, {"arguments": {"q": "{p}"}}]))}
        for deny in denies
    ]


VALUES = [
    '"a"',
    '"b"',
    '["a"]',
    '["a","b"]',
    '"1"',
    "1",
    "2",
    "9",
    "true",
    "null",
    '["a"]',
    '["ab"]',
    '"5s"',
    '"/a/x"',
    "{}",
]
LINES = [
    *(f"{tool} {{}}" for tool in "tu"),
    *(f'{tool} {{"{name}": {value}}}' for tool in "tu" for name in "qr" for value in VALUES),
    *(f't {{"q": {one}, "r": {other}}}' for one in VALUES[:9] for other in VALUES[:9]),
]


A, B = ResultField("t", ("a",)), ResultField("t", ("b",))
SEEN = [
    Seen({(field, value): 1 for field in fields for value in values}, untrusted)
    for fields in ((A,), (B,))
    for values in ((), ('"a"',), ('"b"', "1"))
    for untrusted in (None, Untrusted(1, "t"))
]


@settings(max_examples=examples(250))
@given(calls(), calls(), st.integers(0, 7), st.data())
def test_no_result_gives_what_is_delegated_more_than_it_gives_the_whole(commands, others, first, data):
    others, keep = varied(data, commands, others)
    parent, child = compiled("mcp", commands, {}, {}), compiled("mcp", others, {}, {}, keep)
    assume(covers(parent, child) is None)
    for line in LINES[first::8]:
        name, _, said = line.partition(" ")
        for seen in SEEN:
            ours, theirs = (decide_call(one, name, read_body(said), seen) for one in (child, parent))
            if isinstance(ours, Allowed):
                event(f"allowed, held: {ours.hold}, from a result: {'of run' in str(ours.notes)}")
                assert isinstance(theirs, Allowed), (line, seen)
                assert ours.hold or not theirs.hold, (line, seen)
                assert ours.untrusted or not theirs.untrusted, (line, seen)


def varied(data, commands, others):
    """What is delegated: other commands, some of the same, or the same with other marks and limits."""
    how = data.draw(st.sampled_from(["other", "fewer", "marked"]))
    if how == "fewer":
        return commands, data.draw(st.sets(st.integers(0, len(commands) - 1), min_size=1))
    if how == "other":
        return others, None
    found = []
    for call in commands:
        changed = dict(call)
        if call.get("arguments") and "tool" in call and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(call["arguments"])))
            changed["arguments"] = {**call["arguments"], name: data.draw(st.sampled_from(FROM))}
        if "tool" in call and data.draw(st.booleans()):
            changed |= {"hold": data.draw(st.booleans()), "untrusted": data.draw(st.booleans())}
        found.append(changed)
    return found, None


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


def mailing(to, **more):
    """A set that reads users, of whom one can be mailed."""
    read = {"tool": "list", "effect": "read", "untrusted": more.pop("untrusted", True)}
    mail = {"tool": "mail", "arguments": {"to": to}, "effect": "change", **more}
    return compiled("mcp", [read, mail], {}, {})


def of(*fields, **more):
    return {"from": "result", "fields": list(fields), **more}


OTHERS = {"hold_others": {"name": 9}}


@pytest.mark.parametrize(
    ("parent", "child", "says"),
    [
        (mailing(of("list.a", "list.b")), mailing(of("list.a")), None),
        (mailing(of("list.a")), mailing(of("list.a", "list.b")), "not covered"),
        (mailing(of("list.a")), mailing("eve"), "not covered"),
        (mailing(of("list.a")), mailing({"name": 9}), "not covered"),
        (mailing({"name": 9}), mailing(of("list.a")), "not covered"),
        (mailing(of("list.a")), mailing(of("list.a", **OTHERS)), "not covered"),
        (mailing(of("list.a", **OTHERS)), mailing(of("list.a")), None),
        (mailing(of("list.a", **OTHERS)), mailing("eve", hold=True), None),
        (mailing(of("list.a", **OTHERS)), mailing("eve"), "not covered"),
        (mailing(of("list.a", list=3)), mailing(of("list.a", list=2)), None),
        (mailing(of("list.a", list=2)), mailing(of("list.a", list=3)), "not covered"),
        (mailing(of("list.a")), mailing(of("list.a"), untrusted=False), "no longer count as untrusted"),
        (mailing(of("list.a"), untrusted=False), mailing(of("list.a")), None),
        (mailing("a"), mailing("a", after_untrusted="allow"), "less restricted after an untrusted"),
        (mailing("a", after_untrusted="refuse"), mailing("a"), "less restricted after an untrusted"),
        (mailing("a"), mailing("a", after_untrusted="refuse"), None),
        (mailing("a"), mailing("a", after_untrusted="allow", hold=True), None),
        (mailing({"name": 9}, sinks=["to"]), mailing({"name": 9}), "the approval that each call requires"),
        (mailing({"name": 9}, sinks=["to"]), mailing("a", hold=True), None),
    ],
)
def test_marks_and_results_are_kept_or_made_stricter(parent, child, says):
    found = covers(parent, child)
    assert found is None if says is None else says in str(found)

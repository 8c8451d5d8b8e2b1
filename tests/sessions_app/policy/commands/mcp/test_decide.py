"""Calls of tools: what a command set allows, what it refuses, and why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, CompileError, Refused
from sessions_app.policy.commands.json_values.bodies import canonical_body
from sessions_app.policy.commands.kinds import compile_open, compile_set, decide, describe, parse_text
from sessions_app.policy.commands.mcp.decide import decide_call, line_of
from sessions_app.policy.documents import DocumentError

TICKETS = """
name: agent-ticket
kind: mcp
summary: Read one ticket and close it
risk: medium
parameters:
  ticket: {pattern: "T-[0-9]{1,8}"}
  number: {int: [1, 99]}
commands:
  - tool: read_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - tool: read_ticket
    arguments: {id: "{ticket}", full: true}
    effect: change
  - tool: close_ticket
    arguments:
      {id: "{ticket}", note: {pattern: "(?s).{0,200}"}, by.name: {name: 20}, times: "{number}", left: null}
    optional: [note]
    effect: change
  - tool: tag_ticket
    arguments:
      change:
        schema:
          type: object
          required: [id]
          properties:
            id: {type: string, const: "{ticket}"}
            level: {type: integer, minimum: 1, maximum: 5}
            tags: {type: array, maxItems: 2, items: {type: string, enum: [red, green]}}
            text: {type: string, pattern: "[a-z ]+", maxLength: 9}
    effect: change
  - tool: move_ticket
    arguments: {id: "{ticket}", to: "{place}", again: "{place}"}
    where: {place: {name: 9}}
    effect: destructive
    hold: true
  - tool: list_kinds
    effect: read
  - deny: "export_*"
  - deny: close_ticket
    arguments: {by.name: root}
"""


@pytest.fixture(scope="module")
def document():
    return parse_text(TICKETS)


@pytest.fixture(scope="module")
def compiled(document):
    return compile_set(document, {"ticket": "T-42", "number": "7"})


CLOSE = {"id": "T-42", "by": {"name": "eve"}, "times": 7, "left": None}
ALLOWED = [
    ("read_ticket", {"id": "T-42"}),
    ("close_ticket", CLOSE),
    ("close_ticket", {**CLOSE, "note": '- done\nand "dusted"'}),
    ("tag_ticket", {"change": {"id": "T-42", "level": 5, "tags": ["red", "red"], "text": "a b"}}),
    ("tag_ticket", {"change": {"id": "T-42"}}),
    ("move_ticket", {"id": "T-42", "to": "x", "again": "x"}),
    ("list_kinds", {}),
]


@pytest.mark.parametrize(("name", "arguments"), ALLOWED)
def test_what_is_listed_is_allowed_and_its_recorded_spelling_is_allowed_again(compiled, name, arguments):
    found = decide_call(compiled, name, arguments)
    assert isinstance(found, Allowed), found
    assert found.line == line_of(name, arguments)
    assert decide(compiled, found.line) == found
    assert decide(compiled, f"{name} {json.dumps(arguments)}") == found


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("read_ticket", {"id": "T-43"}, "value"),
        ("read_ticket", {}, "value"),
        ("read_ticket", {"id": ["T-42"]}, "value"),
        ("read_ticket", {"id": {"id": "T-42"}}, "value"),
        ("read_ticket", {"id": "T-42", "x": 1}, "value"),
        ("read_ticket", {"id": "T-42", "full": 1}, "value"),
        ("read_ticket", {"id": "T-42", "full": "true"}, "value"),
        ("Read_Ticket", {"id": "T-42"}, "tool"),
        ("read_ticket ", {"id": "T-42"}, "syntax"),
        ("delete_ticket", {"id": "T-42"}, "tool"),
        ("", {}, "syntax"),
        ("list_kinds", [], "syntax"),
        ("list_kinds", None, "syntax"),
        ("list_kinds", {"x": None}, "value"),
        ("export_all", {}, "denied"),
        ("EXPORT_attachments", {"id": "T-42"}, "denied"),
        ("close_ticket", {**CLOSE, "by": {"name": "root"}}, "denied"),
        ("close_ticket", {**CLOSE, "by": {"name": "eve", "as": "root"}}, "value"),
        ("close_ticket", {**CLOSE, "by.name": "eve"}, "denied"),
        ("close_ticket", {**CLOSE, "times": "7"}, "value"),
        ("close_ticket", {**CLOSE, "times": 7.0}, "value"),
        ("close_ticket", {**CLOSE, "times": True}, "value"),
        ("close_ticket", {**CLOSE, "note": "\u202e"}, "value"),
        ("close_ticket", {key: value for key, value in CLOSE.items() if key != "left"}, "value"),
        ("tag_ticket", {"change": {"id": "T-43"}}, "value"),
        ("tag_ticket", {"change": {"level": 1}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "more": 1}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "level": 6}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "level": True}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "level": 2.5}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "tags": ["red"] * 3}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "tags": ["blue"]}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "tags": "red"}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "text": "abcdefghij"}}, "value"),
        ("tag_ticket", {"change": {"id": "T-42", "text": "A"}}, "value"),
        ("tag_ticket", {"change": []}, "value"),
        ("move_ticket", {"id": "T-42", "to": "x", "again": "y"}, "value"),
    ],
)
def test_what_is_not_listed_is_refused_with_its_reason(compiled, name, arguments, code):
    found = decide_call(compiled, name, arguments)
    assert isinstance(found, Refused), found
    assert found.code == code
    assert found.reason


def test_a_refusal_names_what_comes_nearest(compiled):
    assert decide_call(compiled, "delete_ticket", {}).nearest.startswith(
        ("read_ticket", "tag_ticket", "move_ticket")
    )
    assert (
        decide_call(compiled, "read_ticket", {"id": "T-43"}).nearest
        == 'read_ticket {"id": "T-42", "full": true}'
    )


@pytest.mark.parametrize(
    "line",
    [
        'read_ticket {"id":"T-42","id":"T-43"}',
        'read_ticket {"id":"T-43","id":"T-42"}',
        'read_ticket {"id":NaN}',
        "read_ticket {",
        'read_ticket {"id":"T-42"} x',
        'read_ticket "T-42"',
        "read_ticket " + "[" * 3000,
        'read_ticket {"id":"\\ud800"}',
        "read_ticket\t{}",
        "read_ticket " + '{"a":' * 30 + "1" + "}" * 30,
        "read_ticket " + json.dumps({"id": "x" * 300_000}),
    ],
)
def test_json_that_could_be_read_in_two_ways_or_for_ever_is_refused(compiled, line):
    assert isinstance(decide(compiled, line), Refused)


def test_a_grant_needs_values_for_its_parameters(document):
    for bindings in (
        {},
        {"ticket": "T-42"},
        {"ticket": "*", "number": "7"},
        {"ticket": "T-1", "number": "7", "x": "y"},
    ):
        with pytest.raises(CompileError):
            compile_set(document, bindings)


def test_calls_are_shown_with_bound_values_and_with_what_is_free(compiled):
    views = describe(compiled)
    assert views[0].text == 'read_ticket {"id": "T-42"}'
    assert views[4].hold
    assert [free.name for free in views[4].free] == ["place"]
    assert "note: text that matches (?s).{0,200} (optional)" in views[2].detail
    assert "change: {id: T-42; " in views[3].detail[0]
    assert views[6].denies
    assert views[6].detail == ("with any arguments",)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{tool: 'read_*', effect: read}", "write each name"),
        ("{tool: 'a b', effect: read}", "is not a name"),
        ("{tool: a, arguments: {x: '{nobody}'}, effect: read}", "not declared"),
        ("{tool: a, where: {x: {name: 9}}, effect: read}", "not used"),
        ("{tool: a, arguments: {x: {from: workflow.id}}, effect: read}", "use a parameter"),
        ("{tool: a, optional: [x], effect: read}", "not one of the arguments"),
        ("{tool: a, arguments: {x: 1, x.y: 2}, effect: read}", "as a whole and by its keys"),
        ("{tool: a, arguments: {x: {schema: {type: text}}}, effect: read}", "schema"),
        ("{tool: a, arguments: {x: {schema: {type: array}}}, effect: read}", "needs items"),
        ("{tool: a, arguments: {x: {schema: {type: object}}}, effect: read}", "needs properties"),
        (
            "{tool: a, arguments: {x: {schema: {type: string, items: {type: string}}}}, effect: read}",
            "can't be used with",
        ),
        ("{tool: a, arguments: {x: {schema: {type: string, pattern: '('}}}, effect: read}", "RE2"),
        ("{tool: a, arguments: {x: {schema: {type: string, format: uri}}}, effect: read}", "format"),
        (
            (
                "{tool: a, arguments: {x: {schema: {type: object, properties: {}, required: [y]}}}, effect:"
                " read}"
            ),
            "not a property",
        ),
        ("{deny: 'a b'}", "not a tool name"),
        ("{tool: a, sinks: [x], effect: read}", "not one of the arguments"),
        ("{tool: a, arguments: {x: 1}, free_sinks: {x: ''}, effect: read}", "is empty"),
    ],
)
def test_a_document_that_can_not_be_meant_is_refused_where_it_is_wrong(rule, says):
    with pytest.raises(DocumentError) as caught:
        parse_text(f"name: x\nkind: mcp\nsummary: x\nrisk: low\ncommands:\n  - {rule}\n")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("marks", "held", "says"),
    [
        (
            "sinks: [to]",
            True,
            "text that matches [a-z@]+; decides what it affects, so each call is held",
        ),
        ("sinks: [to], hold: true", True, "so each call is held"),
        ("sinks: [to], free_sinks: {to: all are ours}", False, "is chosen freely: all are ours"),
        ("hold: true", True, ""),
    ],
)
def test_a_call_with_a_free_sink_is_held_unless_the_set_gives_a_reason(marks, held, says):
    rule = f"{{tool: mail, arguments: {{to: {{pattern: '[a-z@]+'}}}}, {marks}, effect: change}}"
    compiled = compile_open(parse_text(f"name: x\nkind: mcp\nsummary: x\nrisk: low\ncommands:\n  - {rule}\n"))
    assert decide(compiled, 'mail {"to": "eve@b"}').hold is held
    view = describe(compiled)[0]
    assert view.hold is held
    assert says in "\n".join(view.detail)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 99)
    | st.sampled_from(["T-42", "T-43", "x", "red", "", "root"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "full", "note", "by", "name", "times", "left", "change", "level", "tags", "text", "to"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
names = st.sampled_from(
    ["read_ticket", "close_ticket", "tag_ticket", "move_ticket", "list_kinds", "export_x", "Read_ticket"]
)


@given(names, json_values, st.sets(st.integers(0, 7)))
def test_narrowing_never_allows_more_and_binding_never_more_than_the_open_set(name, arguments, keep):
    document = parse_text(TICKETS)
    whole = compile_set(document, {"ticket": "T-42", "number": "7"})
    narrow = compile_set(document, {"ticket": "T-42", "number": "7"}, keep=sorted(keep))
    if isinstance(decide_call(narrow, name, arguments), Allowed):
        assert isinstance(decide_call(whole, name, arguments), Allowed)
    if isinstance(found := decide_call(whole, name, arguments), Allowed):
        assert isinstance(decide_call(compile_open(document), name, arguments), Allowed)
        assert found.argv == (name, canonical_body(arguments))
        assert not name.lower().startswith("export")
        assert "T-42" in found.line or name == "list_kinds"
        assert "T-43" not in found.line


@given(names, st.sampled_from([arguments for _, arguments in ALLOWED]), json_values)
def test_nothing_can_be_added_to_the_arguments_of_an_allowed_call(name, arguments, extra):
    compiled = compile_set(parse_text(TICKETS), {"ticket": "T-42", "number": "7"})
    assert isinstance(decide_call(compiled, name, {**arguments, "added": extra}), Refused)


@pytest.mark.parametrize(
    "denied",
    ["5", "5.0", "{int: [5, 9]}", "{schema: {type: integer}}", "{schema: {type: number, minimum: 5}}"],
)
@pytest.mark.parametrize("said", ["5", "5.0", "50e-1", "0.5E+1"])
def test_a_number_is_denied_however_it_is_written(denied, said):
    text = f"""
name: a-set
kind: mcp
summary: For a test
risk: low
commands:
  - {{tool: pay, arguments: {{amount: {{schema: {{type: number}}}}}}, effect: change}}
  - {{deny: pay, arguments: {{amount: {denied}}}}}
"""
    compiled = compile_set(parse_text(text), {})
    assert isinstance(decide(compiled, 'pay {"amount": 4.5}'), Allowed)
    answer = decide(compiled, f'pay {{"amount": {said}}}')
    assert isinstance(answer, Refused)
    assert answer.code == "denied"


ROW = "{schema: {type: object, properties: {a: {type: number}, b: {type: number}, c: {type: string}}}}"
DENIED_ROW = (
    "{schema: {type: object, properties: {a: {type: number, enum: [1, 7]}, b: {type: number, const: 2.0}, "
    "c: {type: string, pattern: 'Root|[0-9]'}}}}"
)


@pytest.mark.parametrize(
    "said",
    [
        '{"a":1,"b":2.0}',
        '{"a":1.0,"b":2}',
        '{"a":1,"b":2}',
        '{"a":1.0,"b":2.0}',
        '{"a":70e-1,"b":2,"c":"rOOT"}',
    ],
)
def test_several_numbers_in_one_value_are_denied_however_each_is_written(said):
    text = f"""
name: a-set
kind: mcp
summary: For a test
risk: low
commands:
  - {{tool: pay, arguments: {{row: {ROW}}}, effect: change}}
  - {{deny: pay, arguments: {{row: {DENIED_ROW}}}}}
"""
    compiled = compile_set(parse_text(text), {})
    assert isinstance(decide(compiled, 'pay {"row": {"a": 1.5, "b": 2}}'), Allowed)
    assert decide(compiled, f'pay {{"row": {said}}}').code == "denied"


def test_denied_text_is_denied_in_any_letter_case():
    text = """
name: a-set
kind: mcp
summary: For a test
risk: low
parameters: {table: {name: 20}}
commands:
  - {tool: drop, arguments: {table: {schema: {type: string}}}, effect: destructive}
  - {deny: drop, arguments: {table: Users}}
  - {deny: drop, arguments: {table: {choice: [Grants]}}}
  - {deny: drop, arguments: {table: "{table}"}}
"""
    compiled = compile_set(parse_text(text), {"table": "Keys"})
    for table in ("Users", "users", "GRANTS", "gRANTS", "keys"):
        assert decide(compiled, f'drop {{"table": "{table}"}}').code == "denied", table
    assert isinstance(decide(compiled, 'drop {"table": "other"}'), Allowed)


def test_a_shape_has_at_most_six_levels():
    def nested(levels: int) -> str:
        inner = "{type: string, maxLength: 9}"
        for _ in range(levels - 1):
            inner = f"{{type: array, items: {inner}}}"
        return (
            "name: x\nkind: mcp\nsummary: x\nrisk: low\ncommands:\n"
            f"  - {{tool: t, arguments: {{x: {{schema: {inner}}}}}, effect: read}}\n"
        )

    parse_text(nested(6))
    with pytest.raises(DocumentError, match="nested deeper than 6 levels"):
        parse_text(nested(7))

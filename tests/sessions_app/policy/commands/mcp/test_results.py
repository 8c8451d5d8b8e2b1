"""Arguments that must come from earlier results, and calls after untrusted ones."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.json_values.bodies import canonical_body
from sessions_app.policy.commands.kinds import compile_open, decide, describe, parse_text
from sessions_app.policy.commands.mcp.decide import decide_call, decided
from sessions_app.policy.commands.mcp.results import ResultField, Seen, Untrusted, field_of, returned
from sessions_app.policy.documents import DocumentError

HEAD = "name: x\nkind: mcp\nsummary: x\nrisk: low\n"
OTHERS = "{from: result, fields: [a.b], hold_others: {from: workflow.id}}"
MAIL = (
    HEAD
    + """
commands:
  - {tool: get.ticket, arguments: {id: {name: 9}}, effect: read, untrusted: true}
  - {tool: list_users, effect: read}
  - tool: answer
    arguments:
      to: {from: result, fields: ["get.ticket.requester.email", "list_users[].email"]}
      text: {pattern: "[a-z ]*"}
    effect: change
    after_untrusted: allow
  - tool: forward
    arguments:
      to: {from: result, fields: ["list_users[].email"], list: 2, hold_others: {pattern: "[a-z]+@b"}}
    effect: change
  - {tool: delete, arguments: {id: {from: result, fields: ["get.ticket.id"]}}, effect: destructive,
     after_untrusted: refuse}
"""
)
REQUESTER, USERS, ID = (
    ResultField("get.ticket", ("requester", "email")),
    ResultField("list_users", ("[]", "email")),
    ResultField("get.ticket", ("id",)),
)


@pytest.fixture(scope="module")
def mail():
    return compile_open(parse_text(MAIL))


def seen(untrusted=None, **values):
    known = {"requester": REQUESTER, "users": USERS, "id": ID}
    return Seen({(known[name], canonical_body(value)): 7 for name, value in values.items()}, untrusted)


@pytest.mark.parametrize(
    ("name", "arguments", "before", "held"),
    [
        ("answer", {"to": "eve@b", "text": "hi"}, seen(requester="eve@b"), False),
        ("answer", {"to": "eve@b", "text": "hi"}, seen(users="eve@b"), False),
        (
            "answer",
            {"to": "eve@b", "text": "hi"},
            seen(requester="eve@b", untrusted=Untrusted(3, "get.ticket")),
            False,
        ),
        ("forward", {"to": ["eve@b"]}, seen(users="eve@b"), False),
        ("forward", {"to": ["eve@b", "bob@b"]}, seen(users="eve@b"), True),
        ("forward", {"to": ["eve@b"]}, seen(requester="eve@b"), True),
        ("forward", {"to": ["eve@b"]}, seen(users="eve@b", untrusted=Untrusted(3, "get.ticket")), True),
        ("delete", {"id": 12}, seen(id=12), False),
        ("delete", {"id": 12.0}, seen(id=12), False),
        ("get.ticket", {"id": "a"}, seen(untrusted=Untrusted(3, "get.ticket")), False),
    ],
)
def test_a_value_that_was_returned_may_be_used_and_another_only_with_approval(
    mail, name, arguments, before, held
):
    found = decide_call(mail, name, arguments, before)
    assert isinstance(found, Allowed), found
    assert found.hold is held
    assert found.untrusted is (name == "get.ticket")


@pytest.mark.parametrize(
    ("name", "arguments", "before", "code"),
    [
        ("answer", {"to": "eve@b", "text": "hi"}, seen(), "from_result"),
        ("answer", {"to": "eve@b", "text": "hi"}, seen(id="eve@b"), "from_result"),
        ("answer", {"to": "eve@b", "text": "hi"}, seen(requester="Eve@b"), "from_result"),
        ("answer", {"to": "eve@b", "text": "hi"}, seen(requester="mail eve@b now"), "from_result"),
        ("answer", {"to": ["eve@b"], "text": "hi"}, seen(requester="eve@b"), "value"),
        ("answer", {"to": "", "text": "hi"}, seen(requester=""), "value"),
        ("answer", {"to": True, "text": "hi"}, seen(requester=True), "value"),
        ("forward", {"to": "eve@b"}, seen(users="eve@b"), "value"),
        ("forward", {"to": []}, seen(), "value"),
        ("forward", {"to": ["a@b", "c@b", "d@b"]}, seen(), "value"),
        ("forward", {"to": ["eve@evil"]}, seen(), "from_result"),
        ("delete", {"id": "12"}, seen(id=12), "from_result"),
        ("delete", {"id": 12}, seen(id=12, untrusted=Untrusted(3, "get.ticket")), "untrusted"),
    ],
)
def test_a_value_that_was_not_returned_is_refused(mail, name, arguments, before, code):
    found = decide_call(mail, name, arguments, before)
    assert isinstance(found, Refused), found
    assert found.code == code


def test_the_decision_says_where_each_value_came_from_and_why_a_call_is_held(mail):
    answer = decide_call(mail, "answer", {"to": "eve@b", "text": "hi"}, seen(requester="eve@b"))
    assert answer.notes == ("to is get.ticket.requester.email of run 7",)
    untrusted = Untrusted(3, "get.ticket")
    held = decide_call(mail, "forward", {"to": ["bob@b"]}, seen(untrusted=untrusted))
    assert held.notes == (
        'to `"bob@b"` is not from an earlier result',
        "held after run 3 of get.ticket, which is untrusted",
    )


def test_without_a_grant_the_decision_says_what_can_not_be_tested(mail):
    found = decide(mail, 'forward {"to": ["eve@b"]}')
    assert isinstance(found, Allowed)
    assert found.notes == (
        "to is from an earlier result, which can't be tested here",
        "held after an untrusted result, which can't be tested here",
    )


def test_approvers_read_what_must_come_from_a_result_and_what_untrusted_results_change(mail):
    views = describe(mail)
    assert views[2].text == 'answer {"to": {get.ticket.requester.email|list_users[].email}, "text": …}'
    assert (
        "to: only a value of get.ticket.requester.email or list_users[].email in an earlier result"
        in views[2].detail
    )
    assert "any other text that matches [a-z]+@b is held" in views[3].detail[0]
    assert views[3].detail[-1] == "held after a result of get.ticket"
    assert views[4].detail[-1] == "refused after a result of get.ticket"
    assert "results can contain text from outsiders" in views[0].detail


@pytest.mark.parametrize(
    ("result", "field", "values"),
    [
        ({"structuredContent": {"a": {"b": "x"}}}, "t.a.b", ["x"]),
        ({"structuredContent": {"result": [{"a": "x"}, {"a": 2}, {"b": 3}, "x"]}}, "t[].a", ["x", 2]),
        ({"structuredContent": {"result": "x"}}, "t", ["x"]),
        ({"content": [{"type": "text", "text": '{"a":"x"}'}]}, "t.a", ["x"]),
        ({"content": [{"type": "text", "text": "[[1],[2]]"}]}, "t[][]", [1, 2]),
        ({"structuredContent": {"a": 2.0}}, "t.a", [2]),
        ({"structuredContent": {"a": "x"}, "isError": True}, "t.a", []),
        ({"structuredContent": {"a": "x"}, "resultType": "input_required"}, "t.a", []),
        ({"content": [{"type": "text", "text": '{"a":"x","a":"y"}'}]}, "t.a", []),
        ({"content": [{"type": "text", "text": 'see {"a":"x"}'}]}, "t.a", []),
        ({"content": [{"type": "text", "text": "x"}]}, "t", []),
        ({"content": [{"type": "resource", "text": '{"a":"x"}'}]}, "t.a", []),
        ({"structuredContent": {"a": '{"b":"x"}'}}, "t.a.b", []),
        ({"structuredContent": {"a": ["x"]}}, "t.a", []),
        ({"structuredContent": {"a": {"b": "x"}}}, "t.a", []),
        ({"structuredContent": {"a.b": "x"}}, "t.a.b", []),
        ({"structuredContent": {"a": "x\u202e"}}, "t.a", []),
        ({"structuredContent": {"a": "\ud800"}}, "t.a", []),
        ({"structuredContent": {"a": True, "b": None}}, "t.a", []),
        ({"structuredContent": {"a": "x" * 5000}}, "t.a", []),
        ({"structuredContent": ["x"]}, "t[]", []),
        ({"structuredContent": {}, "content": [{"type": "text", "text": '{"a":"x"}'}]}, "t.a", []),
        ({"content": "x"}, "t", []),
        ({}, "t", []),
    ],
)
def test_only_whole_fields_of_a_result_count_as_returned(result, field, values):
    source = field_of(field, ["t"])
    assert [json.loads(text) for _, text in returned(result, [source])] == values


def test_a_huge_result_counts_up_to_a_limit():
    everything = {"structuredContent": {"result": list(range(30_000))}}
    assert len(returned(everything, [field_of("t[]", ["t"])])) == 10_000


texts = st.text("ab@", min_size=1, max_size=3)


@given(texts, texts, st.sampled_from(["", "x", "/"]), st.sampled_from(["", "x", " "]))
def test_a_part_of_a_returned_text_is_never_one_that_was_returned(value, other, before, after):
    source = field_of("t.a", ["t"])
    found = [text for _, text in returned({"structuredContent": {"a": f"{before}{value}{after}"}}, [source])]
    assert found == [canonical_body(f"{before}{value}{after}")]
    assert (canonical_body(other) in found) == (other == f"{before}{value}{after}")


def test_what_is_known_of_earlier_results_never_allows_a_call_that_is_refused_without(mail):
    call = decided(mail, "answer", {"to": "eve@b", "text": "NO"})
    assert call.after(mail, seen(requester="eve@b")) == call.decision
    assert not decided(mail, "list_users", {}).asked(mail)
    assert decided(mail, "answer", {"to": "e", "text": ""}).asked(mail) == {
        (REQUESTER, '"e"'),
        (USERS, '"e"'),
    }


@pytest.mark.parametrize(
    ("text", "tools", "found"),
    [
        ("a.b.c", {"a", "a.b"}, ResultField("a.b", ("c",))),
        ("a.b", {"a", "a.b"}, ResultField("a.b", ())),
        ("a[].b", {"a"}, ResultField("a", ("[]", "b"))),
        ("a_b.c", {"a"}, None),
        ("a.b[0]", {"a"}, None),
        ("a..b", {"a"}, None),
        ("b.c", {"a"}, None),
    ],
)
def test_a_field_begins_with_a_tool_of_the_set(text, tools, found):
    assert field_of(text, tools) == found


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{tool: a, arguments: {x: {from: result, fields: [b.c]}}, effect: read}", "not a field of a tool"),
        ("{tool: a, arguments: {x: {from: result}}, effect: read}", "fields"),
        ("{tool: a, arguments: {x: {from: result, fields: [a.b], list: 0}}, effect: read}", "list"),
        (f"{{tool: a, arguments: {{x: {OTHERS}}}, effect: read}}", "can't have `from`"),
        ("{deny: a, arguments: {x: {from: result, fields: [a.b]}}}", "deny can't depend"),
        ("{tool: a, after_untrusted: hold, effect: read}", "only to calls that change"),
    ],
)
def test_a_document_that_can_not_be_meant_is_refused(rule, says):
    with pytest.raises(DocumentError, match=says):
        parse_text(f"{HEAD}commands:\n  - {rule}\n  - {{tool: a, effect: read}}\n")

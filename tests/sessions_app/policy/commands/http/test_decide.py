"""Requests over HTTP: what a command set allows, what it refuses, and why."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, CompileError, Refused
from sessions_app.policy.commands.http.contents import UNSEEN
from sessions_app.policy.commands.http.decide import decide_request
from sessions_app.policy.commands.kinds import compile_open, compile_set, decide, describe, parse_text
from sessions_app.policy.documents import DocumentError

TICKETS = """
name: close-ticket
kind: http
summary: Read one ticket and close it
risk: medium
parameters:
  ticket: {pattern: "T-[0-9]{1,8}"}
  number: {int: [1, 99]}
commands:
  - request: GET /tickets/{ticket}
    effect: read
  - request: GET /tickets/{ticket}/comments
    query: {page: {int: [1, 100]}, sort: date, of: "{ticket}"}
    optional: [page]
    effect: read
  - request: POST /tickets/{ticket}/close
    body: {note: {pattern: ".{0,200}"}, times: "{number}", user.name: {name: 20}, sure: true, left: null}
    optional: [note]
    effect: change
  - request: GET /docs{page}
    where: {page: {path: /public}}
    effect: read
  - request: GET /people/{person}
    where: {person: {pattern: "[^/~]{1,40}"}}
    effect: read
  - request: DELETE /people/{person}
    where: {person: {pattern: "[^/~]{1,40}"}}
    effect: destructive
  - deny: "* /people/root"
  - deny: GET /people/{who}
    where: {who: {choice: [admin, owner]}}
  - deny: DELETE /people/{who}
    where: {who: {name: 40}}
    query: {force: "1"}
"""
BODY = '{"note":"done","times":7,"user":{"name":"alice"},"sure":true,"left":null}'


@pytest.fixture(scope="module")
def document():
    return parse_text(TICKETS)


@pytest.fixture(scope="module")
def compiled(document):
    return compile_set(document, {"ticket": "T-42", "number": "7"})


def allows(compiled, line):
    return isinstance(decide(compiled, line), Allowed)


@pytest.mark.parametrize(
    "line",
    [
        "GET /tickets/T-42",
        "GET /tickets/T-42/comments?sort=date&of=T-42",
        "GET /tickets/T-42/comments?page=7&of=T-42&sort=date",
        f"POST /tickets/T-42/close {BODY}",
        "GET /docs/public/a/b.html",
        "GET /people/alice",
        "GET /people/a%20b",
        "GET /people/%C3%A9",
        "DELETE /people/alice",
    ],
)
def test_what_is_listed_is_allowed_and_its_recorded_spelling_is_allowed_again(compiled, line):
    found = decide(compiled, line)
    assert isinstance(found, Allowed), found
    assert decide(compiled, found.line) == found


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("GET /tickets/T-43", "path"),
        ("GET /tickets", "path"),
        ("GET /tickets/T-42/", "path"),
        ("PUT /tickets/T-42", "method"),
        ("HEAD /tickets/T-42", "method"),
        ("get /tickets/T-42", "syntax"),
        ("GET", "syntax"),
        ("", "syntax"),
        ("GET  /", "syntax"),
        ("GET /tickets/T-42?x=1", "query"),
        ("GET /tickets/T-42/comments", "query"),
        ("CONNECT /tickets/T-42", "syntax"),
        ("GET /tickets/T-42/comments?sort=date&of=T-43", "query"),
        ("GET /tickets/T-42/comments?sort=DATE&of=T-42", "query"),
        ("GET /tickets/T-42/comments?sort=date&of=T-42&page=101", "query"),
        ("GET /docs/secret", "value"),
        ("GET /tickets/T-42/comments?sort=date&of=T-42&page=01", "query"),
        ("GET /docs/public", "value"),
        ("GET /people/root", "denied"),
        ("GET /PEOPLE/Root/", "denied"),
        ("DELETE /people/root", "denied"),
        ("GET /people/admin", "denied"),
        ("GET /people/ADMIN", "denied"),
        ("GET /people/roo%74", "syntax"),
        ("DELETE /people/bob?force=1", "denied"),
        ("POST /tickets/T-42/close", "body"),
    ],
)
def test_what_is_not_listed_is_refused_with_its_reason(compiled, line, code):
    found = decide(compiled, line)
    assert isinstance(found, Refused)
    assert found.code == code, found
    assert found.reason


def test_a_refusal_names_what_comes_nearest(compiled):
    assert decide(compiled, "GET /tickets/T-43").nearest == "GET /tickets/T-42"
    assert decide(compiled, "PUT /tickets/T-42").nearest == "GET /tickets/T-42"
    assert decide(compiled, "GET /tickets/T-42/comment").nearest == "GET /tickets/T-42/comments"


WRONG_BODIES = [
    "[]",
    "1",
    '"a"',
    "null",
    "{}",
    '{"note":"x"}',
    BODY.replace("7", "8"),
    BODY.replace("7", '"7"'),
    BODY.replace("7", "7.0"),
    BODY.replace("true", "1"),
    BODY.replace("true", '"true"'),
    BODY.replace("null", "0"),
    BODY.replace("null", "false"),
    BODY.replace('"alice"', '"a b"'),
    BODY.replace('"alice"', '["alice"]'),
    BODY.replace('{"name":"alice"}', '"alice"'),
    BODY.replace('{"name":"alice"}', '{"name":"alice","root":true}'),
    BODY.replace('"user":{"name":"alice"}', '"user.name":"alice"'),
    BODY[:-1] + ',"more":1}',
    BODY[:-1] + ',"note":"again"}',
    BODY.replace('"done"', '"' + "x" * 201 + '"'),
    BODY.replace('"done"', '"a\\u0000b"'),
    BODY.replace('"done"', '"a\\u202eb"'),
    BODY.replace('"done"', '"a\\nb"'),
    BODY.replace('"done"', '"\\ud800"'),
    BODY.replace('"done"', "NaN"),
    BODY.replace('"done"', "1e999"),
    BODY + "x",
    BODY[:-1],
    "{" * 30,
    '{"a":' * 30 + "1" + "}" * 30,
]


@pytest.mark.parametrize("body", WRONG_BODIES)
def test_a_body_that_is_not_as_it_must_be_is_refused(compiled, body):
    assert not allows(compiled, f"POST /tickets/T-42/close {body}")


def test_text_in_a_body_may_be_empty_or_begin_with_a_dash(compiled):
    for note in ("", "-rf", "a; b && c"):
        assert allows(compiled, f"POST /tickets/T-42/close {BODY.replace('done', note)}")


def test_a_body_that_was_not_seen_is_never_taken_for_a_good_one(compiled):
    found = decide_request(compiled, "POST", "/tickets/T-42/close", UNSEEN)
    assert "does not send" in found.reason


EITHER = """
name: x
kind: http
summary: x
risk: low
commands:
  - {request: "GET /a/{b}", where: {b: {name: 9}}, effect: change}
  - {request: GET /a/news, effect: read, stream: true}
"""


@pytest.mark.parametrize("keep", [None, [1]])
def test_a_stream_is_allowed_where_one_of_the_requests_that_fit_may_be_one(keep):
    compiled = compile_set(parse_text(EITHER), {}, keep=keep)
    found = decide_request(compiled, "GET", "/a/news", stream=True)
    assert found.command.streams
    assert found.effect == decide_request(compiled, "GET", "/a/news").effect
    assert found.effect == ("change" if keep is None else "read")


def test_a_stream_that_no_request_may_be_is_refused_with_the_reason():
    compiled = compile_set(parse_text(EITHER), {})
    assert isinstance(decide_request(compiled, "GET", "/a/x"), Allowed)
    found = decide_request(compiled, "GET", "/a/x", stream=True)
    assert found.code == "stream"
    assert "stream: true" in found.reason
    assert decide_request(compiled, "GET", "/b", stream=True).code == "path"


def test_approvers_read_that_a_request_may_be_a_stream():
    views = describe(compile_set(parse_text(EITHER), {}))
    assert views[0].detail == ()
    assert views[1].detail == (
        "the response can be a stream; only Stint's own gateway cuts it off when the grant ends",
    )


@pytest.mark.parametrize("value", ["T-1/../T-2", "T-1/x", "", "-T", "T-1;x", "T-1 "])
def test_a_value_that_no_path_can_hold_binds_nothing(value):
    document = parse_text(TICKETS.replace('"T-[0-9]{1,8}"', '"[^,]{1,40}"'))
    with pytest.raises(CompileError):
        compile_set(document, {"ticket": value, "number": "7"})


def test_commands_are_shown_with_bound_values_and_with_what_is_free(compiled):
    views = describe(compiled)
    assert views[0].text == "GET /tickets/T-42"
    assert views[1].detail == (
        "query page: a number from 1 to 100 (optional)",
        "query sort: date",
        "query of: T-42",
    )
    assert "body note: text that matches .{0,200} (optional)" in views[2].detail
    assert [free.name for free in views[4].free] == ["person"]
    assert [view.denies for view in views] == [False] * 6 + [True] * 3


HEAD = "name: x\nkind: http\nsummary: x\nrisk: low\nparameters: {a: {name: 9}}\ncommands:\n"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{request: GET, effect: read}", "one space and a path"),
        ("{request: GET /a b, effect: read}", "one space and a path"),
        ("{request: get /a, effect: read}", "not an allowed method"),
        ("{request: CONNECT /a, effect: read}", "not an allowed method"),
        ("{request: '* /a', effect: read}", "not an allowed method"),
        ("{request: 'GET /a/{a}{a}', effect: read}", "two parameters"),
        ("{request: 'GET /{x}', effect: read}", "not declared"),
        ("{request: 'GET /{A}', effect: read}", "brace"),
        ("{request: 'GET /a?b=c', effect: read}", "under query"),
        ("{request: GET /a//b, effect: read}", "//"),
        ("{request: GET /a/../b, effect: read}", "resolved"),
        ("{request: GET /a%2fb, effect: read}", "slash"),
        ("{request: GET http://x/a, effect: read}", "must begin"),
        ("{request: GET /a, effect: read, query: {b: {int: [1, 2], from: workflow.id}}}", "from"),
        ("{request: GET /a, effect: read, query: {b: true}}", "quotes"),
        ("{request: GET /a, effect: read, query: {b: null}}", "quotes"),
        ("{request: GET /a, effect: read, query: {b: {}}}", "type"),
        ("{request: GET /a, effect: read, optional: [b]}", "not in query, body, form, files or headers"),
        ("{request: POST /a, effect: change, body: {b: 1, b.c: 2}}", "as a whole and by its keys"),
        ("{request: 'GET /a/{p}', effect: read, where: {p: {path: /x}}}", "takes the rest"),
        ("{request: 'GET /a{p}/b', effect: read, where: {p: {path: /x}}}", "takes the rest"),
        ("{request: GET /a}", "missing"),
        ("{deny: GET /a, hold: true}", "not a known key"),
        ("{deny: GET /a, request: GET /a, effect: read}", "not a known key"),
        ("{run: ls, effect: read}", "missing"),
        ("{request: GET /a, effect: read, effect: change}", "written twice"),
    ],
)
def test_a_document_that_can_not_be_meant_is_refused_where_it_is_wrong(rule, says):
    with pytest.raises(DocumentError) as caught:
        parse_text(f"{HEAD}  - {rule}\n")
    assert says in str(caught.value)
    assert "commands[0]" in str(caught.value)


@given(st.text(max_size=60))
def test_deciding_never_fails(text):
    compiled = compile_open(parse_text(TICKETS))
    assert isinstance(decide(compiled, text), Allowed | Refused)
    assert isinstance(decide_request(compiled, "GET", text), Allowed | Refused)
    assert isinstance(decide_request(compiled, text, "/tickets/T-42"), Allowed | Refused)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_no_other_body_is_allowed(body):
    compiled = compile_set(parse_text(TICKETS), {"ticket": "T-42", "number": "7"})
    assume(not (isinstance(body, dict) and "sure" in body))
    assert isinstance(decide_request(compiled, "POST", "/tickets/T-42/close", body), Refused)


@pytest.mark.parametrize("said", ["5", "5.0", "50e-1"])
def test_a_number_in_a_body_is_denied_however_it_is_written(said):
    text = """
name: a-set
kind: http
summary: For a test
risk: low
commands:
  - {request: POST /pay, effect: change, body: {amount: {int: [1, 9]}}}
  - {deny: POST /pay, body: {amount: {int: [5, 9]}}}
"""
    compiled = compile_set(parse_text(text), {})
    assert isinstance(decide(compiled, 'POST /pay {"amount": 4}'), Allowed)
    assert decide(compiled, f'POST /pay {{"amount": {said}}}').code == "denied"


def one_deny(deny):
    """A set that allows any of these requests, but for what is denied."""
    text = f"""
name: a-set
kind: http
summary: For a test
risk: low
commands:
  - {{request: "DELETE /users/{{name}}", effect: destructive, where: {{name: {{pattern: "[^/]{{1,30}}"}}}}}}
  - {{request: "GET /files/{{dir}}/{{name}}/", effect: read, where: {{dir: {{name: 9}}, name: {{name: 9}}}}}}
  - {{request: "GET /files{{all}}", effect: read, where: {{all: {{path: /}}}}}}
  - {{request: GET /find, query: {{of: {{pattern: ".+"}}}}, effect: read}}
  - {{request: POST /pay, effect: change,
      body: {{to: {{pattern: ".*"}}, for: {{pattern: ".*"}}, note: {{pattern: ".*"}}}},
      optional: [to, for, note]}}
  - {deny}
"""
    return compile_set(parse_text(text), {})


@pytest.mark.parametrize(
    ("deny", "lines"),
    [
        (
            '{deny: "DELETE /users/{u}", where: {u: {choice: [Admin, Root]}}}',
            [
                "DELETE /users/Admin",
                "DELETE /users/admin",
                "DELETE /users/ADMIN",
                "DELETE /users/aDMIN",
                "DELETE /USERS/rOoT/",
            ],
        ),
        (
            '{deny: "DELETE /users/{u}", where: {u: {pattern: "Adm[A-Z]n"}}}',
            ["DELETE /users/admin", "DELETE /users/aDmIN"],
        ),
        ('{deny: "DELETE /users/{u}", where: {u: {pattern: "[^a-z]{5}"}}}', ["DELETE /users/admin"]),
        ('{deny: "GET /files/{u}", where: {u: {pattern: ".?x"}}}', ["GET /files/-x", "GET /files/X/"]),
        (
            '{deny: "DELETE /users/{u}", where: {u: {int: [5, 9]}}}',
            ["DELETE /users/7", "DELETE /users/+7", f"DELETE /users/{'7':0>25}"],
        ),
        (
            '{deny: "DELETE /users/{u}", where: {u: {duration: [1s, 5m]}}}',
            ["DELETE /users/5M", "DELETE /users/05m"],
        ),
        (
            '{deny: "DELETE /users/{u}", where: {u: {cidr: ["fe80::/16"]}}}',
            ["DELETE /users/FE80::a", "DELETE /users/fe80:0::A"],
        ),
        (
            '{deny: "* /files{p}", where: {p: {path: /secret}}}',
            [
                "GET /files/secret/x",
                "GET /files/secret/x/",
                "GET /files/Secret/x",
                "GET /files/SECRET/x/",
                "GET /Files/secret/a/b",
            ],
        ),
        (
            '{deny: "* /files/{p}", where: {p: {choice: [secret]}}}',
            ["GET /files/secret", "GET /files/secret/"],
        ),
        ("{deny: GET /find, query: {of: {choice: [Root]}}}", ["GET /find?of=Root", "GET /find?of=root"]),
        ("{deny: GET /find, query: {of: Root}}", ["GET /find?of=Root", "GET /find?of=ROOT"]),
        (
            "{deny: GET /find, query: {of: {path: /etc}}}",
            ["GET /find?of=/ETC/x", "GET /find?of=/var/../etc/x"],
        ),
        (
            '{deny: POST /pay, body: {to: Root, note: {pattern: ".*Rush.*"}}}',
            ['POST /pay {"to":"ROOT","note":"a\\nrush"}'],
        ),
        (
            '{deny: POST /pay, body: {to: "{u}", for: "{u}"}, where: {u: {name: 9}}}',
            ['POST /pay {"to":"Bob","for":"bob"}'],
        ),
    ],
)
def test_a_denied_value_is_denied_in_any_letter_case_and_spelling(deny, lines):
    compiled = one_deny(deny)
    assert {line: decide(compiled, line).code for line in lines} == dict.fromkeys(lines, "denied")
    for near in ("DELETE /users/bob1", "GET /files/secrets/x", "GET /find?of=tree", 'POST /pay {"to":"eve"}'):
        assert isinstance(decide(compiled, near), Allowed), near

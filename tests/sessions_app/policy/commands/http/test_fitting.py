"""What only Stint's own gateway can enforce: forms, files, uploads, headers, holds and WebSockets."""

import pytest

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.http.contents import ABSENT, File, Form, Upload
from sessions_app.policy.commands.http.decide import decide_request
from sessions_app.policy.commands.kinds import compile_set, decide, describe, parse_text
from sessions_app.policy.documents import DocumentError

SHA = "0123456789abcdef" * 4
HEAD = "name: a-set\nkind: http\nsummary: For a test\nrisk: low\ncommands:\n"
TEXT = (
    HEAD
    + """
  - request: POST /people
    form: {name: {pattern: "(?s).{1,20}"}, age: {int: [1, 120]}, team: ops}
    files: {photo: {max: 5KB, types: [image/png, image/jpeg]}}
    optional: [age, photo]
    effect: change
  - {request: PUT /report, upload: {max: 10KB, types: [application/pdf]}, effect: change}
  - {request: GET /stock, headers: {x-tenant: {choice: [acme, globex]}, accept: application/json},
     optional: [accept], effect: read}
  - {request: POST /pay, body: {amount: {int: [1, 9]}}, hold: true, effect: change}
  - {request: PUT /scan, upload: {max: 1KB, types: [image/png]}, hold: true, effect: change}
  - {request: GET /chat, websocket: true, effect: change}
  - {request: GET /price, response: {fields: [price], max: 1MB, time: 30s}, effect: read}
  - {request: POST /ping, effect: change}
"""
)


@pytest.fixture(scope="module")
def compiled():
    return compile_set(parse_text(TEXT), {})


def gateway(compiled, method, target, body=ABSENT, headers=None, **asked):
    return decide_request(compiled, method, target, body, headers=headers or {}, **asked)


def form(files=None, **fields):
    return Form({"name": "Ada", "team": "ops", **fields}, files or {})


OVERRIDING = (
    HEAD
    + """
  - {request: POST /people, form: {_method: {choice: [patch, delete]}}, effect: destructive}
  - {request: POST /teams, body: {X-HTTP-Method-Override: DELETE}, effect: destructive}
  - {request: POST /places, query: {_method: DELETE}, effect: destructive}
  - deny: DELETE /people
  - deny: DELETE /teams
  - deny: DELETE /places
"""
)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/people", Form({"_method": "delete"})),
        ("/teams", {"X-HTTP-Method-Override": "DELETE"}),
        ("/places?_method=DELETE", ABSENT),
    ],
)
def test_a_denied_method_stays_denied_when_a_field_says_it(target, body):
    overriding = compile_set(parse_text(OVERRIDING), {})
    refused = gateway(overriding, "POST", target, body)
    assert isinstance(refused, Refused)
    assert refused.code == "denied"
    assert isinstance(gateway(overriding, "POST", "/people", Form({"_method": "patch"})), Allowed)


@pytest.mark.parametrize("name", ["x-api-key", "x_api_key"])
def test_a_holder_gives_no_spelling_of_the_header_that_the_gateway_injects(name):
    text = HEAD + f"  - {{request: GET /a, effect: read, headers: {{{name}: a}}}}\n"
    injecting = {"proxy": "stint", "inject": {"header": "X-Api-Key", "value": "b"}}
    assert name in (compile_set(parse_text(text), {}).unenforced(injecting) or "")


PHOTO = File("image/png", 5000, "", "a.png")


@pytest.mark.parametrize(
    "body",
    [
        form(),
        form(age="7"),
        form(name="-rf\nand a line"),
        form({"photo": PHOTO}),
        form({"photo": File("image/jpeg", 0, "", "Büro 1.jpg")}),
    ],
)
def test_a_form_with_the_listed_fields_and_files_is_allowed(compiled, body):
    found = gateway(compiled, "POST", "/people", body)
    assert isinstance(found, Allowed), found
    assert decide(compiled, found.line) == found


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (form(age="121"), "age in the form"),
        (form(age="07"), "age in the form"),
        (form(admin="1"), "must not contain admin"),
        (form(name=""), "name in the form"),
        (Form({"name": "Ada"}), "must contain team"),
        (form({"other": PHOTO}), "must not contain the file other"),
        (form(photo="text"), "must not contain photo"),
        (form({"photo": File("image/png", 5001, "", "a.png")}), "larger than 5 KB"),
        (form({"photo": File("image/svg+xml", 9, "", "a.svg")}), "must be image/png or image/jpeg"),
        (form({"photo": File("image/png", 9, "", "../a.png")}), "plain file name"),
        (form({"photo": File("image/png", 9, "", ".htaccess")}), "plain file name"),
        (form({"photo": File("image/png", 9, "", "a\x00.png")}), "plain file name"),
        (form({"photo": File("image/png", 9, "", "")}), "plain file name"),
        ({"name": "Ada", "team": "ops"}, "must be a form"),
        (ABSENT, "must be a form"),
        (Upload("application/pdf", 9), "must be a form"),
    ],
)
def test_any_other_form_is_refused_with_its_fault(compiled, body, says):
    found = gateway(compiled, "POST", "/people", body)
    assert isinstance(found, Refused)
    assert (found.code, says in found.reason.replace("`", "")) == ("body", True), found


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (Upload("application/pdf", 10_000), ""),
        (Upload("application/pdf", 10_001), "larger than 10 KB"),
        (Upload("text/html", 9), "must be application/pdf"),
        ({}, "must be an upload"),
        (ABSENT, "must be an upload"),
    ],
)
def test_an_upload_is_limited_by_type_and_size(compiled, body, says):
    found = gateway(compiled, "PUT", "/report", body)
    assert isinstance(found, Refused if says else Allowed)
    assert not says or says in found.reason


@pytest.mark.parametrize("body", [{}, None, Form({}), Upload("text/plain", 0)])
def test_a_request_without_a_rule_for_its_body_has_none(compiled, body):
    assert "must have no body" in gateway(compiled, "POST", "/ping", body).reason
    assert isinstance(gateway(compiled, "POST", "/ping"), Allowed)


def test_headers_are_checked_and_only_those_of_the_rule_are_on_the_line(compiled):
    found = gateway(compiled, "GET", "/stock", headers={"x-tenant": "acme", "x-debug": "1"})
    assert found.line == 'GET /stock headers {"x-tenant":"acme"}'
    assert decide(compiled, found.line) == found


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-tenant": "evil"},
        {"x-tenant": "ACME"},
        {"x-tenant": "acme", "accept": "text/html"},
        {"x-tenant": "äcme"},
    ],
)
def test_a_header_that_is_missing_or_of_another_value_is_refused(compiled, headers):
    assert gateway(compiled, "GET", "/stock", headers=headers).code == "headers"


def test_a_held_request_says_so_and_its_line_is_the_exact_request(compiled):
    found = gateway(compiled, "POST", "/pay", {"amount": 7})
    assert (found.hold, found.line) == (True, 'POST /pay {"amount":7}')
    assert decide(compiled, found.line) == found


def test_a_held_upload_needs_the_digest_of_what_is_approved(compiled):
    assert "sha256" in gateway(compiled, "PUT", "/scan", Upload("image/png", 9)).reason
    found = gateway(compiled, "PUT", "/scan", Upload("image/png", 9, SHA))
    assert found.hold
    assert SHA in found.line
    assert decide(compiled, found.line) == found


def test_a_websocket_is_allowed_where_the_rule_says_so(compiled):
    assert isinstance(gateway(compiled, "GET", "/chat", websocket=True), Allowed)
    found = gateway(compiled, "GET", "/price", websocket=True)
    assert (found.code, "websocket: true" in found.reason) == ("websocket", True)


def test_the_answer_names_the_command_with_the_limits(compiled):
    limit = gateway(compiled, "GET", "/price").command.allows.response
    assert (limit.fields, limit.max, limit.time) == (("price",), 1_000_000, 30)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("POST /people", "form and files"),
        ("PUT /report", "upload"),
        ("GET /stock", "headers"),
        ("POST /pay", "hold"),
        ("GET /chat", "websocket"),
        ("GET /price", "response"),
    ],
)
def test_another_proxy_is_told_that_only_the_gateway_can_enforce_a_rule(compiled, line, key):
    found = decide_request(compiled, *line.split())
    assert (found.code, found.nearest) == ("gateway", line)
    assert found.reason == f"only Stint's own gateway (proxy: stint) can enforce {key} of the matching rule"


def test_a_stream_is_held_where_another_command_for_the_same_request_is():
    rules = (
        "  - {request: GET /a, effect: read, hold: true}\n  - {request: GET /a, effect: read, stream: true}\n"
    )
    found = gateway(compile_set(parse_text(HEAD + rules), {}), "GET", "/a", stream=True)
    assert (found.hold, found.command.streams) == (True, True)


@pytest.mark.parametrize("body", [Form({"to": "eve"}), Upload("text/plain", 3)])
def test_a_denied_body_is_denied_for_what_is_no_json_too(body):
    rules = (
        "  - {request: POST /a, effect: change, form: {to: {name: 9}}}\n"
        "  - {request: POST /a, effect: change, upload: {max: 1KB, types: [text/plain]}}\n"
    )
    assert isinstance(gateway(compile_set(parse_text(HEAD + rules), {}), "POST", "/a", body), Allowed)
    denied = compile_set(parse_text(f"{HEAD}{rules}  - {{deny: POST /a, body: {{to: root}}}}\n"), {})
    assert gateway(denied, "POST", "/a", body).code == "denied"


def test_approvers_read_every_limit_in_words(compiled):
    views = {view.text: view for view in describe(compiled)}
    assert views["POST /people"].detail == (
        "form name: text that matches (?s).{1,20}",
        "form age: a number from 1 to 120 (optional)",
        "form team: ops",
        "file photo: image/png or image/jpeg, at most 5 KB, with any content (optional)",
    )
    assert views["PUT /report"].detail == ("body: application/pdf, at most 10 KB, with any content",)
    assert "header x-tenant: one of acme, globex" in views["GET /stock"].detail
    assert views["POST /pay"].hold
    assert views["GET /chat"].detail == ("can open a WebSocket, whose messages are not limited",)
    assert views["GET /price"].detail == (
        "response: only price",
        "response: at most 1 MB",
        "response: at most 30 s",
    )


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{request: POST /a, effect: change, body: {}, form: {}}", "one body"),
        ("{request: POST /a, effect: change, body: {}, upload: {max: 1MB, types: [text/plain]}}", "one body"),
        ("{request: GET /a, effect: read, form: {}}", "can't have a body"),
        ("{request: GET /a, effect: read, upload: {max: 1MB, types: [text/plain]}}", "can't have a body"),
        ("{request: POST /a, effect: change, form: {a: true}}", "quotes"),
        (
            "{request: POST /a, effect: change, form: {a: x}, files: {a: {max: 1KB, types: [text/plain]}}}",
            "both a field and a file",
        ),
        ("{request: POST /a, effect: change, upload: {max: 1MB, types: [application/json]}}", "under body"),
        ("{request: POST /a, effect: change, upload: {max: 1MB, types: [application/x+json]}}", "under body"),
        (
            "{request: POST /a, effect: change, upload: {max: 1MB, types: [multipart/form-data]}}",
            "under form",
        ),
        ("{request: POST /a, effect: change, upload: {max: 1MB, types: []}}", "empty"),
        ("{request: POST /a, effect: change, upload: {max: 1 MB, types: [text/plain]}}", "500KB, 5MB or 1GB"),
        ("{request: POST /a, effect: change, upload: {max: 11GB, types: [text/plain]}}", "at most"),
        ("{request: POST /a, effect: change, hold: true, upload: {max: 11MB, types: [text/plain]}}", "10 MB"),
        ("{request: POST /a, effect: change, files: {a: {max: 101MB, types: [text/plain]}}}", "at most"),
        ("{request: POST /a, effect: change, websocket: true}", "begins with GET"),
        ("{request: GET /a, effect: read, websocket: true, body: {}}", "can't have a body"),
        ("{request: GET /a, effect: read, websocket: true, stream: true}", "two commands"),
        ("{request: GET /a, effect: read, stream: true, response: {fields: [a]}}", "need a JSON response"),
        ("{request: GET /a, effect: read, response: {}}", "limits nothing"),
        ("{request: GET /a, effect: read, response: {fields: [a, a.b]}}", "keep one"),
        ("{request: GET /a, effect: read, response: {fields: ['a[0]']}}", "not a field"),
        ("{request: GET /a, effect: read, response: {time: 2d}}", "at most"),
        ("{request: GET /a, effect: read, headers: {X-Tenant: a}}", "lowercase header name"),
        ("{request: GET /a, effect: read, headers: {cookie: a}}", "credential"),
        ("{request: GET /a, effect: read, headers: {authorization: a}}", "credential"),
        ("{request: GET /a, effect: read, headers: {host: a}}", "gateway itself"),
        ("{request: GET /a, effect: read, headers: {te: trailers}}", "gateway itself"),
        ("{request: GET /a, effect: read, headers: {x-forwarded-for: a}}", "after the decision"),
        ("{request: GET /a, effect: read, headers: {x-http-method-override: a}}", "after the decision"),
        ("{request: GET /a, effect: read, headers: {x_http_method_override: a}}", "after the decision"),
        ("{request: GET /a, effect: read, headers: {x_forwarded-for: a}}", "after the decision"),
        ("{request: GET /a, effect: read, headers: {x-original-method: a}}", "after the decision"),
        ("{request: GET /a, effect: read, headers: {stinttarget: a}}", "after the decision"),
        ("{request: GET /a, effect: read, headers: {content-type: a}}", "after the decision"),
    ],
)
def test_a_rule_that_can_not_be_meant_is_refused_where_it_is_wrong(rule, says):
    with pytest.raises(DocumentError) as caught:
        parse_text(f"{HEAD}  - {rule}\n")
    assert says in str(caught.value)
    assert "commands[0]" in str(caught.value)

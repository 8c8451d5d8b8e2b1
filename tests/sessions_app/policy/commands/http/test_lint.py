"""What the linter says of requests."""

import pytest

from sessions_app.policy.commands.kinds import lint, parse_text

HEAD = "name: x\nkind: http\nsummary: x\nrisk: low\nparameters: {a: {name: 9}}\ncommands:\n"


def found(*rules):
    return {
        (one.severity, one.code)
        for one in lint(parse_text(HEAD + "".join(f"  - {rule}\n" for rule in rules)))
    }


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        ("{request: 'POST /a/{a}', body: {}, effect: read}", ("error", "effect")),
        ("{request: 'DELETE /a/{a}', effect: change}", ("warning", "effect")),
        ("{request: 'GET /a/{a}/delete', effect: read}", ("warning", "effect")),
        ("{request: 'POST /a/{a}', effect: change}", ("warning", "free_body")),
        ("{request: POST /a, body: {}, effect: change}", ("warning", "unbound")),
        ("{request: GET /, effect: read}", ("warning", "root")),
        ("{request: GET /admin, effect: read}", ("warning", "powerful")),
        ("{request: 'GET /{a}/b', effect: read}", ("warning", "free_root")),
        ("{request: 'GET /a/{p}', where: {p: {pattern: '.+'}}, effect: read}", ("error", "broad_pattern")),
        ("{request: 'GET /a{p}', where: {p: {path: /}}, effect: read}", ("error", "free_path")),
        ("{deny: POST /a, body: {b: 1}}", ("warning", "deny_body")),
        ("{request: 'GET /a/{a}', stream: true, effect: read}", ("warning", "stream")),
        ("{request: 'GET /a/{a}', websocket: true, effect: read}", ("warning", "websocket")),
        ("{request: 'PUT /a/{a}', upload: {max: 1MB, types: [text/csv]}, effect: read}", ("error", "effect")),
        (
            "{request: 'POST /a/{a}', form: {_method: {pattern: '[A-Z]+'}}, effect: destructive}",
            ("error", "free_method"),
        ),
        (
            "{request: 'POST /a/{a}', body: {X-HTTP-Method-Override: '{a}'}, effect: destructive}",
            ("error", "free_method"),
        ),
        (
            "{request: 'POST /a/{a}', files: {_method: {max: 1KB, types: [text/plain]}}, effect: change}",
            ("error", "free_method"),
        ),
        ("{request: 'POST /a/{a}', form: {_method: PATCH}, effect: change}", ("warning", "method_field")),
        (
            "{request: 'POST /a/{a}', query: {x_method_override: PUT}, effect: change}",
            ("warning", "method_field"),
        ),
        (
            "{request: 'POST /a/{a}', form: {_method: {choice: [patch, delete]}}, effect: change}",
            ("error", "effect"),
        ),
        (
            "{request: 'POST /a/{a}', upload: {max: 1MB, types: [application/jsonrequest]}, effect: change}",
            ("warning", "method_field"),
        ),
    ],
)
def test_each_doubt_is_found(rule, finding):
    assert finding in found(rule)


def test_requests_that_meet_with_other_limits_are_told():
    rules = ("{request: 'GET /a/{a}', effect: read}", "{request: GET /a/b, effect: change}")
    assert ("warning", "overlap") in found(*rules)
    assert ("warning", "overlap") in found(
        "{request: 'GET /a/{a}', effect: read}", "{request: GET /a/b, stream: true, effect: read}"
    )
    assert ("warning", "overlap") in found(
        "{request: 'GET /a/{a}', effect: read}", "{request: GET /a/b, response: {fields: [c]}, effect: read}"
    )
    assert ("warning", "overlap") not in found(
        "{request: GET /a/b, effect: read}", "{request: GET /a/c, effect: read}"
    )

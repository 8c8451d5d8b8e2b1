"""How the requests of a grant are displayed to approvers, holders and reviewers."""

from collections.abc import Iterator

from sessions_app.policy.commands.answers import CommandView, budget_of, free_parameter
from sessions_app.policy.commands.budgets import say_budgets
from sessions_app.policy.commands.http.compiling import CompiledHTTPCommand, CompiledSet
from sessions_app.policy.commands.http.document import HTTPDeny, HTTPRequest
from sessions_app.policy.commands.http.limits import say_response
from sessions_app.policy.commands.json_values.checks import Typed


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the requests of a grant in document order, with their bound and free values."""
    return [_view(one) for one in compiled.commands]


def _view(one: CompiledHTTPCommand) -> CommandView:
    checks = (*one.query.values(), *(one.body or {}).values(), *one.form.values(), *one.headers.values())
    named = {
        check.name: check.type for check in checks if isinstance(check, Typed) and check.name is not None
    }
    return CommandView(
        index=one.index,
        text=one.text,
        free=tuple(free_parameter(name, type_) for name, type_ in {**one.types, **named}.items()),
        effect=one.rule.effect,
        hold=one.rule.held,
        detail=tuple(_detail(one)),
        denies=isinstance(one.rule, HTTPDeny),
    )


def _detail(one: CompiledHTTPCommand) -> Iterator[str]:
    inside = (("query", one.query), ("body", one.body or {}), ("form", one.form), ("header", one.headers))
    for where, limited in inside:
        for name, check in limited.items():
            yield f"{where} {name}: {check.limits}{_optional(one, name)}"
    if one.body is not None and not one.body:
        yield "body: an empty object"
    if one.allows is not None:
        yield from _only_by_gateway(one, one.allows)
    yield from say_budgets(budget_of(one.rule))


def _only_by_gateway(one: CompiledHTTPCommand, rule: HTTPRequest) -> Iterator[str]:
    for name, limit in rule.files.items():
        yield f"file {name}: {limit.limits}, with any content{_optional(one, name)}"
    if rule.form == {} and not rule.files:
        yield "form: empty"
    if rule.upload is not None:
        yield f"body: {rule.upload.limits}, with any content"
    if rule.response is not None:
        yield from say_response(rule.response)
    if rule.stream:
        yield "the response can be a stream; only Stint's own gateway cuts it off when the grant ends"
    if rule.websocket:
        yield "can open a WebSocket, whose messages are not limited"


def _optional(one: CompiledHTTPCommand, name: str) -> str:
    return " (optional)" if name in one.optional else ""

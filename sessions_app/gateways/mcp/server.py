"""The server behind a gateway: its current tools, and one allowed call of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.conversation import Conversation, SessionLost
from sessions_app.connectors.mcp.upstream import Unreached
from sessions_app.connectors.mcp.wire import Message
from sessions_app.gateways.core.allowance import Allowance
from sessions_app.gateways.mcp.answers import Answer
from sessions_app.gateways.mcp.asked import Asked, Wanted
from sessions_app.gateways.mcp.uses import OpenUse

# The keys that are forwarded in addition to a call's arguments: the progress token, and traces (W3C Trace
# Context). Other keys, such as replies to a question or a request to continue in the background, were not
# part of the decision, and could do more than the arguments may.
_META = ("progressToken", "traceparent", "tracestate")


class Over(Exception):
    """The grant ended during the call."""


class Unanswered(ConnectorError):
    """The call was sent, and the server did not respond with a result. It may have carried out the call."""


async def definitions(held: OpenUse, method: str = "tools/list") -> dict[str, Message]:
    """Return the server's tools, prompts, resources or templates, by name or URI."""
    talk = await _begun(held)
    try:
        return await talk.listed(method)
    except SessionLost:
        return await (await _begun(held, lost=talk)).listed(method)


async def _begun(held: OpenUse, lost: Conversation | None = None) -> Conversation:
    """Return a started conversation that is not ``lost``.

    Of all callers that lost it, the first starts a new conversation.
    """
    async with held.begun:
        if held.talk is lost:
            held.talk = Conversation(lost.endpoint)
        if not held.talk.ready:
            await held.talk.begin()
        return held.talk


async def forward(
    held: OpenUse,
    asked: Asked,
    answer: Answer,
    wanted: Wanted,
    schema: Any,
    allowance: Allowance,
) -> Message:
    """Make an allowed request, relay the messages sent during the request, and return the response.

    ``schema`` is the input schema of the tool, if it is a tool call. Raises Unanswered, or another
    ConnectorError if the server did nothing with the request.
    """
    talk = await _begun(held)
    try:
        return await _forward(talk, held, asked, answer, wanted, schema, allowance)
    except SessionLost:
        # The server had no such session, so it did nothing with the call.
        talk = await _begun(held, lost=talk)
        return await _forward(talk, held, asked, answer, wanted, schema, allowance)


async def _forward(
    talk: Conversation,
    held: OpenUse,
    asked: Asked,
    answer: Answer,
    wanted: Wanted,
    schema: Any,
    allowance: Allowance,
) -> Message:
    params = {**wanted.params, **_about_the_call(asked.params)}
    headers = wire.parameter_headers(schema, wanted.arguments) if talk.modern else {}
    mine = asked.params.get("_meta", {}).get("progressToken")
    try:
        async for message in talk.call(asked.method, params, headers):
            if "method" not in message:
                return _complete(talk, message)
            if held.over.is_set():
                raise Over(held.why)
            if "id" in message:
                # Requests for sampling, elicitation or roots. This gateway forwards no requests to the
                # client.
                await _decline(talk, message)
            elif _is_progress(message, mine) and await allowance.take(size=len(wire.dump(message))):
                await answer.note(message)
    except (Unanswered, Unreached, SessionLost):
        raise
    except ConnectorError as error:
        raise Unanswered(error.message) from error
    raise Unanswered("The server closed the stream before it responded.")


async def _decline(talk: Conversation, message: Message) -> None:
    try:
        await talk.decline(message)
    except ConnectorError as error:
        # The call is in progress, and must not be made a second time.
        raise Unanswered(error.message) from error


def _about_the_call(params: Mapping[str, Any]) -> Message:
    """Return the metadata of a call that does not change the effect of the call."""
    kept = {key: params["_meta"][key] for key in _META if key in params.get("_meta", {})}
    return {"_meta": kept} if kept else {}


def _complete(talk: Conversation, response: Message) -> Message:
    """Return a response that ends the call. Raises Unanswered if the server requests something instead."""
    result = response.get("result")
    kind = result.get("resultType", "complete") if isinstance(result, dict) else "complete"
    if kind != "complete":
        raise Unanswered(
            f"{talk.endpoint.name} did not complete the call. It responded with {str(kind)[:64]}, "
            "which this gateway does not forward."
        )
    return response


def _is_progress(message: Message, token: Any) -> bool:
    """Whether a notification is the progress of this call.

    Other notifications, such as logs, are not relayed.
    """
    params = message.get("params")
    mine = token is not None and isinstance(params, dict) and params.get("progressToken") == token
    return mine and message["method"] == "notifications/progress"

"""What is relayed to a client of the messages that a server sends during its call."""

import asyncio
from types import SimpleNamespace
from typing import Any

from sessions_app.gateways.mcp.answers import Answer
from sessions_app.gateways.mcp.asked import Asked, Wanted
from sessions_app.gateways.mcp.server import forward

RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}


def note(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}


def relayed(*messages: dict[str, Any], token: int = 7) -> bytes:
    """Return what the client of a call with a progress token receives before the response."""

    class Talk:
        ready, modern = True, False

        async def call(self, *_):
            for message in (*messages, RESULT):
                yield message

    class Unlimited:
        async def take(self, **_):
            return True

    sent: list[bytes] = []

    async def send(message) -> None:
        sent.append(message.get("body", b""))

    async def play():
        held = SimpleNamespace(begun=asyncio.Lock(), talk=Talk(), over=asyncio.Event())
        params = {"name": "watch", "_meta": {"progressToken": token}}
        asked = Asked(method="tools/call", params=params, id=1, modern=True, headers={"accept": "*/*"})
        found = await forward(held, asked, Answer(send, asked), Wanted("watch", {}), None, Unlimited())
        assert found == RESULT

    asyncio.run(play())
    return b"".join(sent)


def test_progress_of_the_call_is_relayed():
    assert b"halfway" in relayed(note("progress", progressToken=7, progress=1, message="halfway"))


def test_neither_log_messages_nor_another_calls_progress_are_relayed():
    others = note("progress", progressToken=8, progress=1)
    assert relayed(note("message", level="info", data="a secret"), others) == b""

"""Programs in containers, from an event loop: exec over a WebSocket to an API server.

Source: k8s.io/apimachinery `pkg/util/remotecommand` (v4 and v5.channel.k8s.io): the first byte of each binary
message is its channel; in v5, the byte 255 and a channel's number end that channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from sessions_app.connectors.base import ConnectorError

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
CONNECT_SECONDS = 5.0
_STATUS = re.compile(r"[0-9]{1,9}")
# A container's output arrives in chunks of 32 KiB. A larger message can't be from a kubelet.
MAX_MESSAGE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """An API server and its client: the URL without a path, a bearer token, and how to verify its
    certificate.
    """

    url: str
    token: str = field(repr=False)
    context: ssl.SSLContext = field(repr=False)
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod."""

    namespace: str
    pod: str
    name: str

    def path(self, argv: Sequence[str], *, stdin: bool) -> str:
        """Return the path and query of an exec. Each word of the command is a parameter, in order."""
        query = [
            ("container", self.name),
            ("stdout", "true"),
            ("stderr", "true"),
            *(("command", word) for word in argv),
        ]
        more = [("stdin", "true")] if stdin else []
        place = f"/api/v1/namespaces/{quote(self.namespace, safe='')}/pods/{quote(self.pod, safe='')}/exec"
        return f"{place}?{urlencode([*query, *more], quote_via=quote)}"


@dataclass(slots=True)
class Exec:
    """A program that runs in a container.

    ``status`` is the exit status, once the API server has reported it.
    """

    socket: aiohttp.ClientWebSocketResponse
    status: dict[str, Any] | None = None

    async def send(self, data: bytes) -> None:
        """Write to the command's standard input. Raises ConnectionError if the stream is closed."""
        await self.socket.send_bytes(bytes([STDIN]) + data)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield the command's output as the channel and the bytes, until it ends or the stream is closed."""
        async for message in self.socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == ERROR:
                self.status = status_of(data)
            elif channel in (STDOUT, STDERR) and data:
                yield channel, data

    @property
    def exit_code(self) -> int | None:
        """The exit status; None if unknown, because the program did not start or the stream broke."""
        return exit_code(self.status)


def status_of(data: bytes) -> dict[str, Any] | None:
    """Parse the Status from the error channel; return None for anything else."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def exit_code(status: dict[str, Any] | None) -> int | None:
    """Return the exit status in a Status: 0 for success, otherwise from its causes; None if it has no exit
    status.
    """
    if not status:
        return None
    if status.get("status") == "Success":
        return 0
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    for cause in causes if isinstance(causes, list) else []:
        if (
            isinstance(cause, dict)
            and cause.get("reason") == "ExitCode"
            and _STATUS.fullmatch(str(cause.get("message", "")))
        ):
            return int(cause["message"])
    return None


@contextlib.asynccontextmanager
async def exec_in(
    session: aiohttp.ClientSession,
    server: Server,
    container: Container,
    argv: Sequence[str],
    *,
    stdin: bool = False,
) -> AsyncIterator[Exec]:
    """Run a program in a container. Leaving the context closes the stream, but does not end the program.

    Raises ConnectorError if the API server does not respond or refuses.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await session.ws_connect(
                server.url + container.path(argv, stdin=stdin),
                protocols=(V5, V4),
                ssl=server.context,
                server_hostname=server.name,
                headers={"Authorization": f"Bearer {server.token}"},
                max_msg_size=MAX_MESSAGE,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
    except aiohttp.WSServerHandshakeError as error:
        permanent = error.status in (400, 401, 403, 404)
        raise ConnectorError(
            f"The API server refused exec in {container.pod} ({error.status}).", permanent=permanent
        ) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ConnectorError(
            f"The API server did not respond to exec in {container.pod} ({type(error).__name__})."
        ) from error
    async with socket:
        yield Exec(socket)

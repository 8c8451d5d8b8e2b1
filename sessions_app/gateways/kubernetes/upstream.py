"""Connections to API servers. Each request is built here, and uses the grant's own account."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from sessions_app.connectors.base import ConnectorError, TargetSpec
from sessions_app.connectors.kubernetes.remote import Server
from sessions_app.gateways.core.client import Client, NotReached
from sessions_app.gateways.core.direct import Answer
from sessions_app.gateways.core.sockets import GOODBYE_S
from sessions_app.gateways.kubernetes.accounts import Accounts
from sessions_app.gateways.kubernetes.places import address_of, parameters_of, tls_of
from sessions_app.operations.sessions.proofs.kubernetes import AtCluster

# Seconds for which an idle connection is kept. This doesn't limit watches and followed logs, which may be
# silent.
KEPT_S = 30.0
# Bytes of a response that are read ahead of the client.
AHEAD = 128 * 1024
# Maximum bytes of a message, in either direction. kubectl and API servers send chunks of 32 KiB.
LARGEST_MESSAGE = 256 * 1024


class Upstream:
    """A pool of connections to all API servers, in one event loop."""

    def __init__(self) -> None:
        self._client = Client(kept=KEPT_S, ahead=AHEAD)
        self._accounts = Accounts(self._client.session)

    async def send(
        self, use: AtCluster, method: str, target: str, headers: Mapping[str, str], data: bytes
    ) -> Answer:
        """Send a request and return the response, with only its head read. Redirects are not followed.

        If the API server rejects the token, retry once with a new one. Raises NotReached.
        """
        token = await self._token(use)
        answer = await self._send(use, method, target, {**headers, **_bearer(token)}, data)
        if answer.status == 401:
            answer.close()
            token = await self._token(use, instead_of=token)
            answer = await self._send(use, method, target, {**headers, **_bearer(token)}, data)
        return answer

    async def _send(
        self, use: AtCluster, method: str, target: str, headers: Mapping[str, str], data: bytes
    ) -> Answer:
        return await self._client.send(
            use.target.name,
            method,
            address_of(use.place, target),
            headers=headers,
            data=data or None,
            **_tls(use.place),
        )

    @contextlib.asynccontextmanager
    async def websocket(
        self, use: AtCluster, target: str, headers: Mapping[str, str], protocols: list[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket until the block ends. Raises NotReached."""
        token = await self._token(use)
        async with self._client.websocket(
            use.target.name,
            address_of(use.place, target),
            headers={**headers, **_bearer(token)},
            protocols=protocols,
            most=LARGEST_MESSAGE,
            patience=GOODBYE_S,
            **_tls(use.place),
        ) as opened:
            yield opened

    async def server_of(self, use: AtCluster, *, own: bool = False) -> tuple[aiohttp.ClientSession, Server]:
        """Return the session and server for starting the guard in a container, with the grant's account
        or, if ``own``, Stint's.

        Raises NotReached.
        """
        tls = _tls(use.place)
        url = str(address_of(use.place, ""))
        token = parameters_of(use.place).token.get_secret_value() if own else await self._token(use)
        return self._client.session, Server(url.rstrip("/"), token, tls["ssl"], tls["server_hostname"])

    async def _token(self, use: AtCluster, *, instead_of: str = "") -> str:
        try:
            return await self._accounts.token_of(use, instead_of=instead_of)
        except ConnectorError as error:
            raise NotReached(error.message, sent=False) from error

    async def close(self) -> None:
        """Close all connections, and drop all tokens."""
        self._accounts.close()
        await self._client.close()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _tls(place: TargetSpec) -> dict[str, Any]:
    try:
        return tls_of(place)
    except ConnectorError as error:
        raise NotReached(error.message, sent=False) from error

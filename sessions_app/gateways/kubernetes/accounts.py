"""Tokens of the grants' service accounts: requested by the gateway itself, and kept only in memory."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.kubernetes.objects import name_of
from sessions_app.connectors.kubernetes.proof import LEAST_SECONDS, token_request
from sessions_app.gateways.core.client import Dropped, read_small
from sessions_app.gateways.kubernetes.places import address_of, parameters_of, tls_of
from sessions_app.operations.sessions.proofs.kubernetes import AtCluster

# In seconds. API servers issue tokens for at least ten minutes. Each token is renewed long before it expires.
LASTS_S, RENEWED_S = LEAST_SECONDS, 240.0
ASKED_S = 8.0
# Bytes of a response.
MOST = 64 * 1024
JSON = "application/json"

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    until: float


class Accounts:
    """Tokens of accounts, by the grant's mark and the target."""

    def __init__(self, client: aiohttp.ClientSession, *, seconds: float = ASKED_S) -> None:
        """``seconds`` is the time limit for a cluster's whole response."""
        self._client, self._seconds = client, seconds
        self._tokens: dict[_Key, _Token] = {}
        self._asking: dict[_Key, asyncio.Task[str]] = {}

    async def token_of(self, use: AtCluster, *, instead_of: str = "") -> str:
        """Return a token of a grant's account on its target, which differs from ``instead_of``.

        Raises ConnectorError.
        """
        key = (use.mark, use.target.id)
        known = self._tokens.get(key)
        if known and known.until > asyncio.get_running_loop().time() and known.text != instead_of:
            return known.text
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._request(key, use))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    async def _request(self, key: _Key, use: AtCluster) -> str:
        loop = asyncio.get_running_loop()
        began = loop.time()
        text = await self._asked(use)
        self._tokens = {one: token for one, token in self._tokens.items() if token.until > loop.time()}
        self._tokens[key] = _Token(text, began + LASTS_S - RENEWED_S)
        return text

    async def _asked(self, use: AtCluster) -> str:
        """Request a token within the time limit. Retry once if an idle connection was dropped at
        that moment.
        """
        try:
            async with asyncio.timeout(self._seconds):
                try:
                    return await self._post(use)
                except Dropped:
                    return await self._post(use)
        except aiohttp.ClientSSLError as error:
            raise ConnectorError(f"{use.target.name} failed TLS verification", permanent=True) from error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
            raise ConnectorError(f"{use.target.name} did not respond with a token of the grant") from error

    async def _post(self, use: AtCluster) -> str:
        parameters = parameters_of(use.place)
        path, body = token_request(parameters, name_of(use.mark), LASTS_S)
        head = {
            "Authorization": f"Bearer {parameters.token.get_secret_value()}",
            "User-Agent": "stint",
            "Accept": JSON,
        }
        async with self._client.post(
            address_of(use.place, path),
            json=body,
            headers={**head, "Content-Type": JSON},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
            **tls_of(use.place),
        ) as answer:
            if answer.status >= 300:
                raise ConnectorError(f"{use.target.name} returned {answer.status} for a token of the grant")
            return _token_in(json.loads(await read_small(answer, MOST)))

    def close(self) -> None:
        """Drop all tokens."""
        self._tokens.clear()


def _token_in(answer: Any) -> str:
    """Return the token in a TokenRequest. Raises ValueError."""
    status = answer.get("status") if isinstance(answer, dict) else None
    text = status.get("token") if isinstance(status, dict) else None
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
        raise ValueError("no TokenRequest")
    return text

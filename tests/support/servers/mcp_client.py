"""The client of the official SDK, with a token, in either protocol version."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

MODES = ("2026-07-28", "legacy")


@contextlib.asynccontextmanager
async def client_of(url: str, token: str, *, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    """Yield a connected client."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client:
            yield client

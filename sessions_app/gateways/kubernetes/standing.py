"""The cluster's objects that a decision depends on: the object that a request changes, and its revisions.
Each read keeps a whole response in memory, so a token or a page can have only one read at a time, and a
gateway only a few.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import ClientError

from sessions_app.gateways.core.aside import aside
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.turns import Turns
from sessions_app.gateways.kubernetes.bodies import JSON, Body
from sessions_app.gateways.kubernetes.status import NotMade
from sessions_app.gateways.kubernetes.upstream import Upstream
from sessions_app.operations.sessions.proofs.kubernetes import AtCluster
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest
from sessions_app.policy.commands.kubernetes.bodies import JSON_PATCH
from sessions_app.policy.commands.kubernetes.existing import HISTORY
from sessions_app.policy.commands.kubernetes.undoing import revisions_url

# Limits: bytes of a response, revisions of an object, and seconds for a response and for the wait before it.
MOST_BYTES, MOST_REVISIONS, ASKED_S, TURN_S = 2 * 1024 * 1024, 100, 5.0, 10.0
# Simultaneous reads, in total and per target: a target that does not respond must not block the others.
MOST_AT_ONCE, MOST_OF_A_TARGET = 16, 4


@dataclass(frozen=True, slots=True)
class Standing:
    """An object and its revisions, or a clause that explains why they could not be read. The object is empty
    if there is none.

    ``size`` is the size of the data read, in bytes.
    """

    target: Mapping[str, Any] | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    unread: str = ""
    size: int = 0


NOTHING_READ = Standing()


class _Unread(Exception):
    """A response that can't be compared. The message is a clause."""


class Reader:
    """Reads the objects needed for decisions, using the grants' accounts."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._targets = Turns(MOST_AT_ONCE, each=MOST_OF_A_TARGET)

    async def read(self, use: AtCluster, request: KubeRequest, code: str, *, agent: str) -> Standing:
        """Return the objects that a refusal with this code needs. Raises NotMade if the read can't start in
        time.
        """
        async with self._turn(use):
            try:
                target, size = await self._get(use, request.path, agent, missing=True)
                if code != HISTORY or not target:
                    return Standing(target, size=size)
                revisions, more = await self._revisions(use, request, target, agent)
                return Standing(target, revisions, size=size + more)
            except _Unread as error:
                return Standing(unread=str(error))

    async def version_of(self, use: AtCluster, group: str, *, agent: str) -> str:
        """Return the version of an API group that the API server prefers. Raises NotMade."""
        if not group:
            return "v1"
        async with self._turn(use):
            try:
                said, _ = await self._get(use, f"/apis/{group}", agent)
            except _Unread as error:
                raise NotMade(503, str(error)) from error
        found = said.get("preferredVersion")
        version = found.get("version") if isinstance(found, Mapping) else None
        if not isinstance(version, str) or not version.isalnum():
            raise NotMade(503, f"{use.target.name} did not return its version of {group}")
        return version

    @contextlib.asynccontextmanager
    async def _turn(self, use: AtCluster) -> AsyncIterator[None]:
        own = self._turns.setdefault(_kind_of(use), asyncio.Lock())
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(TURN_S):
                    await stack.enter_async_context(own)
                    await stack.enter_async_context(self._targets.turn(use.target.id))
            except TimeoutError:
                raise NotMade(
                    429, "Too many requests are reading from the cluster. Try again in a moment."
                ) from None
            yield

    async def _revisions(
        self, use: AtCluster, request: KubeRequest, target: Mapping[str, Any], agent: str
    ) -> tuple[tuple[Mapping[str, Any], ...], int]:
        past, size = await self._get(use, revisions_url(request, target, MOST_REVISIONS), agent)
        metadata, items = past.get("metadata"), past.get("items")
        if isinstance(metadata, Mapping) and metadata.get("continue"):
            raise _Unread(
                f"the object has more than {MOST_REVISIONS} revisions, which are too many to compare"
            )
        return tuple(one for one in items or () if isinstance(one, Mapping)), size

    async def _get(
        self, use: AtCluster, path: str, agent: str, *, missing: bool = False
    ) -> tuple[Mapping[str, Any], int]:
        """Return an object and its size in bytes; an empty object if there is none and ``missing`` allows
        that.

        Raises _Unread.
        """
        what = f"objects on {use.target.name} could not be read"
        try:
            async with asyncio.timeout(ASKED_S):
                there = await self._upstream.send(
                    use, "GET", path, {"Accept": JSON, "User-Agent": agent}, b""
                )
                try:
                    if there.status == 404 and missing:
                        return {}, 0
                    if there.status != 200:
                        raise _Unread(f"{what}: the API server returned {there.status}")
                    data = await _data(there.content, what)
                finally:
                    there.close()
                found = await aside(len(data), json.loads, data)
        except TimeoutError:
            raise _Unread(f"{what} within {ASKED_S:.0f} seconds") from None
        except NotReached as error:
            raise _Unread(str(error)) from error
        except (ClientError, OSError, ValueError, RecursionError) as error:
            raise _Unread(f"{what}: {type(error).__name__}") from error
        if not isinstance(found, Mapping):
            raise _Unread(f"{what}: the response is not an object")
        return found, len(data)


def _kind_of(use: AtCluster) -> Hashable:
    """Return the key by which reads take turns: a token, or a grant's page and target."""
    return use.credential_id or (use.grant_id, use.target.id)


async def _data(content: Any, what: str) -> bytes:
    data = bytearray()
    async for piece in content.iter_any():
        data += piece
        if len(data) > MOST_BYTES:
            raise _Unread(f"{what}: the response is larger than {MOST_BYTES // 1024 // 1024} MiB")
    return bytes(data)


async def bound(body: Body, version: str) -> Body:
    """Return a body that changes an object only while it has this resource version. Raises NotMade if the
    sender has bound it to another version. Source:
    https://kubernetes.io/docs/reference/using-api/api-concepts/ (resource versions); RFC 6902 §4.6 (test).
    """
    return await aside(len(body.data), _bound, body, version)


def _bound(body: Body, version: str) -> Body:
    value = json.loads(body.data)
    if body.media == JSON_PATCH:
        value = [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, *value]
    elif value.setdefault("metadata", {}).setdefault("resourceVersion", version) != version:
        raise NotMade(
            409, "The object has been modified; apply your changes to the latest version and try again."
        )
    return replace(body, value=None, data=json.dumps(value).encode())

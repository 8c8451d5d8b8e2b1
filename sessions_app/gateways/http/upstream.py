"""Connections to targets. Every request is built here, from the decided values."""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
from yarl import URL

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.http.parameters import parameters_of
from sessions_app.gateways.core.client import CUT, Client, NotReached, TooLarge, read_small
from sessions_app.gateways.core.direct import Answer

# Maximum seconds between two chunks of a response that is not an event stream.
SILENT_S = 300.0
# Seconds for which an idle connection is kept. Targets often close theirs soon after.
KEPT_S = 4.0
# Bytes of a response that are read ahead of the client.
AHEAD = 256 * 1024
# Limits for fetching a token: seconds, and bytes of the response.
TOKEN_S, MOST_TOKEN = 10.0, 64 * 1024


class Upstream:
    """A pool of connections to all targets, in one event loop."""

    def __init__(self) -> None:
        self._client = Client(kept=KEPT_S, ahead=AHEAD)

    async def send(
        self,
        place: TargetSpec,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Any,
        *,
        patient: bool,
    ) -> Answer:
        """Send a request and return the response, with only its head read. Redirects are not followed.

        ``target`` is the request target. ``patient`` means that pauses in the response are not limited.
        Raises NotReached.
        """
        return await self._client.send(
            _named(place),
            method,
            address_of(place, target),
            headers=headers,
            data=body,
            silent=None if patient else SILENT_S,
            **_tls(place),
        )

    def websocket(
        self, place: TargetSpec, target: str, headers: Mapping[str, str], protocols: list[str], *, most: int
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket until the block ends. ``most`` is the size of the largest message in bytes.

        Entering raises NotReached.
        """
        return self._client.websocket(
            _named(place),
            address_of(place, target),
            headers=headers,
            protocols=protocols,
            most=most,
            patience=0,
            **_tls(place),
        )

    async def fetch(
        self,
        url: str,
        context: ssl.SSLContext,
        *,
        data: Any,
        headers: Mapping[str, str],
        seconds: float = TOKEN_S,
    ) -> Any:
        """POST a form to another server, such as one for tokens, and return its JSON of at most 64 KiB.

        ``seconds`` limits the whole exchange. Raises NotReached, whose message contains no part of the
        response.
        """
        try:
            async with self._client.session.post(
                url,
                data=data,
                headers={**headers, "accept-encoding": "identity"},
                ssl=context,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                if answer.status != 200:
                    raise NotReached(f"the server returned status {answer.status}", sent=False)
                if "content-encoding" in answer.headers:
                    raise NotReached("the response is encoded", sent=False)
                return json.loads(await read_small(answer, MOST_TOKEN))
        except TooLarge as error:
            raise NotReached(str(error), sent=False) from None
        except (ValueError, RecursionError):
            raise NotReached("the response is not JSON", sent=False) from None
        except TimeoutError:
            raise NotReached("the server did not respond in time", sent=False) from None
        except CUT as error:
            raise NotReached(f"the server did not respond: {type(error).__name__}", sent=False) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def address_of(place: TargetSpec, target: str) -> URL:
    """Return the URL of a target with a request target, unchanged."""
    address = place.target.address
    host = f"[{address}]" if ":" in address else address
    scheme = "https" if parameters_of(place).tls else "http"
    return URL(f"{scheme}://{host}:{place.target.port}{target}", encoded=True)


def host_of(place: TargetSpec) -> str:
    """Return the value of the Host header for a target."""
    parameters, target = parameters_of(place), place.target
    if parameters.host:
        return parameters.host
    host = f"[{target.address}]" if ":" in target.address else target.address
    usual = 443 if parameters.tls else 80
    return host if target.port == usual else f"{host}:{target.port}"


def _tls(place: TargetSpec) -> dict[str, Any]:
    parameters = parameters_of(place)
    if not parameters.tls:
        return {}
    name = (
        (parameters.host or place.target.address).partition(":")[0]
        if parameters.host
        else place.target.address
    )
    return {"ssl": trusting(parameters.ca), "server_hostname": name}


@functools.lru_cache(maxsize=256)
def trusting(ca: str) -> ssl.SSLContext:
    """Return a context that trusts these certificates (PEM), or the system's if there are none."""
    context = ssl.create_default_context(cadata=ca or None)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _named(place: TargetSpec) -> str:
    return f"{place.target.name} ({place.target.address}:{place.target.port})"

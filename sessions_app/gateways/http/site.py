"""The HTTP gateway: a reverse proxy that decides each request, adds the target's credential, and cuts
everything at the grant's end.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.web import BaseRequest
from django.conf import settings

from broker.kernel.errors import StintError
from broker.kernel.problems import problem
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.heads import HeadRefused
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.core.reads import Reads
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.core.token_uses import TokenUses
from sessions_app.gateways.core.web import proven
from sessions_app.gateways.http.admission import NotAdmitted, Shown, admit
from sessions_app.gateways.http.answers import answer_json
from sessions_app.gateways.http.asked import Asked, read_asked
from sessions_app.gateways.http.credentials import Credentials
from sessions_app.gateways.http.exchange import Exchange, Parts, refused_by
from sessions_app.gateways.http.hosts import Hosts, host_name
from sessions_app.gateways.http.upstream import Upstream
from sessions_app.operations.sessions.proofs.gateway import GatewayUse

log = structlog.get_logger(__name__)

PREFIX = "/http/"
# Seconds in which to record the counted requests at shutdown.
COUNTED_S = 1.0
# Host names of a gateway on the local machine, regardless of its public address.
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


class HTTPSite:
    """All HTTP clusters behind one gateway."""

    def __init__(self) -> None:
        self._hosts = Hosts()

    async def open(self, shared: Shared) -> None:
        """Prepare for requests. Raises Unavailable without a database."""
        self._shared = shared
        self._upstream = Upstream()
        self._parts = Parts(shared, self._upstream, Credentials(self._upstream), Tally())
        self._uses = TokenUses[GatewayUse](shared)
        self._admissions, self._reads = Admissions(shared.database), Reads()
        await self._hosts.read(shared.database)
        shared.node.keep(self._uses.drop_unused(), "http-uses")
        shared.node.keep(self._hosts.keep(shared), "http-hosts")

    async def close(self) -> None:
        """Close the connections to targets, and record the counted requests unless the database is
        unavailable.
        """
        self._reads.close()
        await self._upstream.close()
        with contextlib.suppress(TimeoutError, StintError):
            async with asyncio.timeout(COUNTED_S):
                await self._shared.database.run(self._parts.tally.stop)

    def claims(self, host: str) -> bool:
        """Whether this is the public host name of a cluster."""
        return self._hosts.cluster_at(host) is not None

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(request)
        except HeadRefused as error:
            body = problem(status=error.status, code="request_malformed", title=f"{error.reason}.")
            answer = answer_json(error.status, body, error.headers)
        except NotAdmitted as error:
            answer = answer_json(error.body["status"], error.body, error.headers)
        except StintError as error:
            answer = refused_by(error)
        return answer

    async def _answer(self, request: BaseRequest) -> web.StreamResponse:
        asked = self._read(request)
        if closed := self._shared.closed_because():
            body = problem(status=503, code="unavailable", title=f"{closed.rstrip('.').capitalize()}.")
            return answer_json(503, body, {"retry-after": "1"})
        use = await admit(self._admissions, self._reads, _shown(asked))
        proven(asked.request, use)
        session = await self._uses.session_of(use, asked.client)
        return await Exchange(self._parts, session, use, asked).run()

    def _read(self, request: BaseRequest) -> Asked:
        host = request.headers["host"].lower()
        cluster = self._hosts.cluster_at(host_name(host))
        if cluster is not None:
            return read_asked(request, name=cluster, target=request.raw_path, here=f"https://{host}")
        ours = urlsplit(settings.GATEWAY_PUBLIC_URL)
        if host_name(host) not in {ours.hostname, *_LOOPBACK}:
            raise HeadRefused(421, "This gateway does not serve this host")
        name, _, rest = request.raw_path.removeprefix(PREFIX).partition("/")
        if "?" in name or not name:
            raise HeadRefused(404, "The address must be /http/, the name of a cluster or target, and a path")
        return read_asked(
            request, name=name, target=f"/{rest}", here=f"{settings.GATEWAY_PUBLIC_URL}{PREFIX}{name}"
        )


def _shown(asked: Asked) -> Shown:
    said = asked.request.headers
    return Shown(
        authorization=said.get("authorization", ""),
        proof=said.get("dpop", ""),
        name=asked.name,
        method=asked.method,
        url=asked.url,
        line=asked.line,
        client=asked.client,
    )

"""The Kubernetes gateway's site: requests to `/kubernetes/` and the name of a cluster or target."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Mapping

from aiohttp import web

from broker.kernel.errors import StintError
from sessions_app.gateways.core.arrivals import LIMITS
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.heads import HeadRefused, again
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.core.orders import Orders
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.core.token_uses import TokenUses
from sessions_app.gateways.core.web import proven
from sessions_app.gateways.kubernetes.admission import admit
from sessions_app.gateways.kubernetes.asked import Asked, read_asked
from sessions_app.gateways.kubernetes.orders import run_ordered
from sessions_app.gateways.kubernetes.parts import Parts
from sessions_app.gateways.kubernetes.passage import Passage
from sessions_app.gateways.kubernetes.refusals import Refusals
from sessions_app.gateways.kubernetes.standing import Reader
from sessions_app.gateways.kubernetes.status import NotMade, answer
from sessions_app.gateways.kubernetes.upstream import Upstream
from sessions_app.operations.sessions.authorize_use import used_from
from sessions_app.operations.sessions.proofs.kubernetes import KubernetesUse

# Seconds in which to record the counted requests at shutdown.
COUNTED_S = 1.0


class KubernetesSite:
    """All Kubernetes clusters behind one gateway."""

    async def open(self, shared: Shared) -> None:
        """Prepare for requests."""
        self._shared = shared
        self._tally = Tally()
        self._upstream = Upstream()
        self._parts = Parts(shared, self._upstream, self._tally, Reader(self._upstream))
        # The limit is high: tools that show a whole cluster watch many kinds of objects, and people run
        # several of them.
        self._uses: TokenUses[KubernetesUse] = TokenUses(shared, most=LIMITS.per_grant)
        self._refusals = Refusals()
        self._admissions = Admissions(shared.database)
        self._orders = Orders(shared, "kubernetes", functools.partial(run_ordered, self._parts))
        self._orders.begin()
        shared.node.keep(self._uses.drop_unused(), "kubernetes-uses")

    async def close(self) -> None:
        """Close the connections to API servers, and record the counted requests unless the database is
        unavailable.
        """
        await self._orders.stop()
        await self._parts.settle()
        await self._upstream.close()
        with contextlib.suppress(TimeoutError, StintError):
            async with asyncio.timeout(COUNTED_S):
                await self._shared.database.run(self._tally.stop)

    def claims(self, host: str) -> bool:
        """Return False: this site has no host names."""
        del host
        return False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            asked = read_asked(request)
        except HeadRefused as error:
            return answer(error.status, f"{error.reason}.", error.headers)
        if asked.upgrade == "spdy" and (told := self._refusals.taken(asked)):
            # kubectl falls back to SPDY after any refusal of a WebSocket, and shows this response.
            return answer(403, told)
        try:
            return await self._answer(asked)
        except HeadRefused as error:
            return answer(error.status, f"{error.reason}.", error.headers)
        except NotMade as error:
            return self._refused(asked, error.code, error.message)
        except StintError as error:
            return self._refused(
                asked, error.status, f"{error.message} {error.hint or ''}".strip(), again(error)
            )

    def _refused(
        self, asked: Asked, code: int, message: str, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        if code != 401:
            # Unauthenticated requests must not evict other entries.
            self._refusals.note(asked, message)
            return answer(code, message, headers)
        return answer(code, message, {"www-authenticate": 'Bearer realm="stint"'})

    async def _answer(self, asked: Asked) -> web.StreamResponse:
        if closed := self._shared.closed_because():
            raise NotMade(503, f"{closed.rstrip('.').capitalize()}. Try again in a moment.")
        use = used_from(await admit(self._admissions, asked), asked.client)
        proven(asked.request, use)
        session = await self._uses.session_of(use, asked.client)
        return await Passage(self._parts, session, use, asked).run()

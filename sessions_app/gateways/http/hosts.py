"""The public host names of clusters, read periodically, because the cluster of a request must be known
before its token is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog
from django.conf import settings

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.spread import spread
from sessions_app.queries.catalog.public_hosts import public_hosts

log = structlog.get_logger(__name__)

# Maximum seconds between two reads, with a few gateways and with many.
EVERY_S, EVERY_S_OF_MANY = 2.0, 10.0


class Hosts:
    """The clusters by public host name."""

    def __init__(self) -> None:
        self._clusters: Mapping[str, str] = {}

    def cluster_at(self, host: str) -> str | None:
        """Return the name of the cluster at a lower-case host name without a port; None if there is none.

        The gateway's own host name leads to all of its endpoints, even if a cluster is configured with
        it.
        """
        if host == urlsplit(settings.GATEWAY_PUBLIC_URL).hostname:
            return None
        return self._clusters.get(host)

    async def read(self, database: Database) -> None:
        """Read the host names once. Raises Unavailable."""
        self._clusters = await database.run(public_hosts)

    async def keep(self, shared: Shared) -> None:
        """Read the host names repeatedly, forever.

        While the database is unavailable, keep the last known names.
        """
        while True:
            await asyncio.sleep(spread(EVERY_S, gateways=shared.node.lease.gateways, most=EVERY_S_OF_MANY))
            try:
                await self.read(shared.database)
            except Unavailable as error:
                log.warning("http.hosts_not_read", error=str(error))


def host_name(host: str) -> str:
    """Return the host name in a Host header, in lowercase and without its port."""
    host = host.lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]

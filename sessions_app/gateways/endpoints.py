"""The endpoints that a gateway process can serve.

An endpoint's module, and the library for its protocol, is imported only when the endpoint is served. Web
endpoints share one TLS listener; each has its own first path segment, which is its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from sessions_app.gateways.core.endpoint import Endpoint
    from sessions_app.gateways.core.options import WebOptions
    from sessions_app.gateways.core.web import Site


SSH, POSTGRES = "ssh", "postgres"


def _http() -> Site:
    from sessions_app.gateways.http.site import HTTPSite  # noqa: PLC0415

    return HTTPSite()


def _kubernetes() -> Site:
    from sessions_app.gateways.kubernetes.site import KubernetesSite  # noqa: PLC0415

    return KubernetesSite()


# The sites of the web listener.
SITES: dict[str, Callable[[], Site]] = {"http": _http, "kubernetes": _kubernetes}
NAMES = (SSH, POSTGRES, *SITES)


class UnknownProtocol(InvalidInput):
    """There is no gateway with this name. The message lists the valid names."""

    code = "unknown_protocol"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The address of the SSH endpoint, and the options of the PostgreSQL and web listeners."""

    ssh_host: str
    ssh_port: int
    postgres: WebOptions
    web: WebOptions


def named(text: str) -> list[str]:
    """Return the names in a comma-separated list, without duplicates, in order. Raises UnknownProtocol."""
    names = list(dict.fromkeys(word for word in text.replace(" ", "").split(",") if word))
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise UnknownProtocol(
            f"Unknown gateway {', '.join(unknown) or text!r}.", hint=f"Choose from {', '.join(NAMES)}."
        )
    return names


def endpoints(names: Collection[str], addresses: Addresses) -> Iterator[Endpoint]:
    """Yield an endpoint for SSH, one for PostgreSQL, and one for all sites of the web listener."""
    if SSH in names:
        from sessions_app.gateways.ssh.endpoint import SSHEndpoint  # noqa: PLC0415

        yield SSHEndpoint(addresses.ssh_host, addresses.ssh_port)
    if POSTGRES in names:
        from sessions_app.gateways.postgres.endpoint import PostgresEndpoint  # noqa: PLC0415

        yield PostgresEndpoint(addresses.postgres)
    sites = {name: SITES[name]() for name in names if name in SITES}
    if sites:
        from sessions_app.gateways.core.web import Web  # noqa: PLC0415

        yield Web(addresses.web, sites)

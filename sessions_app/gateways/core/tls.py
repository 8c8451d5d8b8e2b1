"""TLS of the web and PostgreSQL gateways: certificates from files that an administrator renews, or from
Stint's own authority.

Sources: RFC 8446 and RFC 5246 (TLS 1.3, 1.2), RFC 6066 §3 (server names), RFC 7301 (ALPN).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import structlog
from cryptography.x509 import load_pem_x509_certificate

from broker.kernel import clock
from broker.kernel.errors import StintError
from broker.kernel.x509 import Pair, fingerprint, issue
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.options import WebOptions
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.keys import GATEWAY_CA, gateway_ca_pair

log = structlog.get_logger(__name__)

# Seconds between checks of whether the certificate must be renewed.
LOOK_EVERY = 5.0
RENEW_AFTER = dt.timedelta(days=1)
# The number of cached certificates for public host names.
_MOST_HOSTS = 1000
# ALPN names. Source: RFC 7301 §6, and PostgreSQL's documentation, "SSL Session Encryption".
HTTP, POSTGRESQL = "http/1.1", "postgresql"


class GatewaySettings(StintError):
    """The settings of the HTTPS gateways don't work. The message names the setting to change."""

    code = "gateway_settings"
    status = 500


class Source(Protocol):
    """A source of certificates.

    ``fingerprint`` is the SHA-256 of the certificate that clients trust: the authority's, or the gateway's
    own from files.
    """

    fingerprint: str

    async def look(self) -> None:
        """Check whether the authority has changed. Raises StintError."""

    def fresh(self) -> Pair | None:
        """Return a new certificate to use; None to keep the current one. Raises GatewaySettings."""

    def used(self) -> None:
        """Record that the fresh certificate is in use."""

    def for_host(self, host: str) -> ssl.SSLContext | None:
        """Return a context for a site's public host name; None if the certificate in use covers all names."""


class Tls:
    """A TLS context whose certificate is renewed in time."""

    def __init__(
        self,
        source: Source,
        claims: Callable[[str], bool],
        publish: Callable[[str], None],
        protocol: str = HTTP,
    ) -> None:
        """``claims`` returns whether a host name is a public host name of some site. ``publish`` is
        called with each fingerprint. ``protocol`` is the ALPN name of the protocol over TLS.
        """
        self._source, self._claims, self._publish = source, claims, publish
        self.context = new_context(protocol)
        self.context.sni_callback = self._choose
        # The certificate chain in use, PEM.
        self.certificate = b""
        self._renew()

    @classmethod
    async def begin(
        cls, options: WebOptions, shared: Shared, *, claims: Callable[[str], bool], protocol: str = HTTP
    ) -> Tls:
        """Return the TLS for these options. Raises GatewaySettings or Unavailable."""
        lease, now = shared.node.lease, shared.node.clock.now

        def publish(found: str) -> None:
            lease.known = replace(lease.known, tls_fingerprint=found)

        if options.certificate:
            return cls(Files(Path(options.certificate), Path(options.key), now), claims, publish, protocol)
        source = Own(lambda: shared.database.run(_authority), names_of(options), now)
        await source.look()
        return cls(source, claims, publish, protocol)

    async def keep(self) -> None:
        """Renew the certificate forever. If that fails, the current one stays in use."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._source.look()
                self._renew()
            except (StintError, OSError) as error:
                log.warning("tls.not_renewed", error=str(error))

    def _renew(self) -> None:
        fresh = self._source.fresh()
        if fresh is not None:
            use(self.context, fresh)
            self.certificate = fresh.certificate
            self._source.used()
            self._publish(self._source.fingerprint)
            log.info("tls.in_use", fingerprint=self._source.fingerprint)

    def _choose(self, connection: ssl.SSLObject, host: str | None, context: ssl.SSLContext) -> None:
        """Use the certificate for a site's public host name."""
        if host and self._claims(host.lower()):
            own = self._source.for_host(host.lower())
            if own is not None:
                connection.context = own


class Files:
    """A certificate and its key in files, which are read again when they have changed."""

    def __init__(self, certificate: Path, key: Path, now: Callable[[], dt.datetime]) -> None:
        self._paths, self._now = (certificate, key), now
        self._seen: object = None
        self.fingerprint = ""

    async def look(self) -> None:
        """Do nothing: the certificate comes from files, not from an authority."""

    def fresh(self) -> Pair | None:
        """Return the files' content if it is new. Raises GatewaySettings if it can't be used."""
        try:
            seen = [(at.st_mtime_ns, at.st_ino, at.st_size) for at in map(os.stat, self._paths)]
            if seen == self._seen:
                return None
            # A renewal that fails is reported once, not at each check.
            self._seen = seen
            pair = Pair(*(path.read_bytes() for path in self._paths))
        except OSError as error:
            raise GatewaySettings(
                f"Can't read {error.filename}: {error.strerror}.",
                hint="Check STINT_GATEWAY_CERTIFICATE and STINT_GATEWAY_KEY.",
            ) from error
        check(pair, self._now())
        self.fingerprint = fingerprint(pair.certificate)
        return pair

    def used(self) -> None:
        """Do nothing: whether a renewal is due depends only on the files."""

    def for_host(self, host: str) -> ssl.SSLContext | None:
        """Return None: a certificate from files has only the names that its author chose."""
        return None


class Own:
    """Certificates from Stint's own authority, issued in memory, and replaced daily and when the authority
    changes.
    """

    def __init__(
        self, active: Callable[[], Awaitable[Pair]], names: list[str], now: Callable[[], dt.datetime]
    ) -> None:
        """``active`` returns the active authority. Call ``look`` before anything else."""
        self._active, self._names, self._now = active, names, now
        self._authority = Pair(b"", b"")
        self.fingerprint = ""
        self._made: dt.datetime | None = None
        self._hosts: dict[str, ssl.SSLContext] = {}

    async def look(self) -> None:
        """Check for a new active authority, and use it for certificates from now on."""
        active = await self._active()
        if active != self._authority:
            self._authority, self.fingerprint = active, fingerprint(active.certificate)
            self._made = None

    def fresh(self) -> Pair | None:
        """Return a new certificate at the first call, and then once a day."""
        now = self._now()
        if self._made is not None and now - self._made < RENEW_AFTER:
            return None
        self._hosts.clear()
        return issue(self._authority, self._names, now=now)

    def used(self) -> None:
        """Start the day after which the certificate is renewed."""
        self._made = self._now()

    def for_host(self, host: str) -> ssl.SSLContext | None:
        """Return a context with a certificate for this host alone."""
        if host not in self._hosts:
            while len(self._hosts) >= _MOST_HOSTS:
                del self._hosts[next(iter(self._hosts))]
            made = new_context()
            use(made, issue(self._authority, [host], now=self._now()))
            # Stored only now, so that a failure leaves no context without a certificate behind.
            self._hosts[host] = made
        return self._hosts[host]


def new_context(protocol: str = HTTP) -> ssl.SSLContext:
    """Return a server's context for TLS 1.2 and later with an ALPN name, but no certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([protocol])
    return context


def use(context: ssl.SSLContext, pair: Pair) -> None:
    """Use a certificate for all new connections. Raises ssl.SSLError."""
    # OpenSSL only reads files. A file from mkstemp is readable only by its owner, and is deleted immediately.
    with tempfile.NamedTemporaryFile(prefix=".stint-tls-") as file:
        file.write(pair.key + b"\n" + pair.certificate)
        file.flush()
        context.load_cert_chain(file.name)


def check(pair: Pair, now: dt.datetime) -> None:
    """Raise GatewaySettings if the certificate and key can't be used now."""
    try:
        use(new_context(), pair)
        leaf = load_pem_x509_certificate(pair.certificate)
    except (ssl.SSLError, ValueError) as error:
        raise GatewaySettings(
            "The gateway's certificate and key don't match, or are not PEM.",
            hint=(
                "STINT_GATEWAY_CERTIFICATE must contain the chain, with the server's certificate first,"
                " and the key must not be encrypted."
            ),
        ) from error
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        raise GatewaySettings(
            f"The gateway's certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} "
            f"to {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, not now.",
            hint="Renew STINT_GATEWAY_CERTIFICATE.",
        )


def names_of(options: WebOptions) -> list[str]:
    """Return the names for the certificate: the URL's host, plus this machine's own names if only this
    machine can connect.
    """
    host = urlsplit(options.url).hostname or ""
    own = ["localhost", "127.0.0.1", "::1"] if _is_loopback(options.host) else []
    return [host, *own]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _authority() -> Pair:
    return gateway_ca_pair(ensure_authority(GATEWAY_CA, now=clock.now()))

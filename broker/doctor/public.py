"""Check of the pages' public address."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

from broker.doctor.finding import Finding, ok, warning, wrong

TIMEOUT_S = 5
# A certificate with fewer days left should have been renewed.
RENEWED_DAYS = 14


def of_pages() -> Iterator[Finding]:
    """Check the public address of the pages, from this node."""
    url = urlsplit(settings.PUBLIC_URL)
    try:
        status = _status(url.scheme, url.hostname or "", url.port, url.path + "/healthz")
    except OSError as error:
        yield wrong(
            "pages",
            f"{settings.PUBLIC_URL} can't be reached from this node: {_reason(error)}",
            why="No one can request, approve or end access through the pages or the API.",
            fix=(
                "Start the web processes and the proxy, and check STINT_PUBLIC_URL, its DNS name and its"
                " certificate."
            ),
        )
        return
    if status == http.HTTPStatus.OK:
        yield ok("pages", f"{settings.PUBLIC_URL} answers")
    else:
        yield wrong(
            "pages",
            f"{settings.PUBLIC_URL}/healthz returns {status}",
            why="The proxy does not reach a web process of Stint.",
            fix=(
                "Check the proxy's upstream, and that it passes all paths except those of the streams"
                " process."
            ),
        )
    if url.scheme == "https":
        yield _certificate(url.hostname or "", url.port or 443)


def _status(scheme: str, host: str, port: int | None, path: str) -> int:
    made = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    with contextlib.closing(made(host, port, timeout=TIMEOUT_S)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except http.client.HTTPException as error:
            raise OSError(f"the response is not {scheme}: {error}") from error


def _certificate(host: str, port: int) -> Finding:
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), TIMEOUT_S) as wire,
        context.wrap_socket(wire, server_hostname=host) as opened,
    ):
        until = ssl.cert_time_to_seconds(str((opened.getpeercert() or {})["notAfter"]))
    left = dt.datetime.fromtimestamp(until, dt.UTC) - dt.datetime.now(dt.UTC)
    said = f"the certificate is valid for {left.days} more days"
    if left > dt.timedelta(days=RENEWED_DAYS):
        return ok("pages", said)
    return warning(
        "pages",
        said,
        why="After that, browsers and `stint` refuse to connect.",
        fix="Renew the certificate, and fix its automatic renewal.",
    )


def _reason(error: OSError) -> str:
    return getattr(error, "verify_message", "") or error.strerror or str(error)

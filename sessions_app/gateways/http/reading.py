"""What a proxy says about the request that it holds, in the headers of each kind of proxy.

The headers of Stint's own have no hyphen: WSGI takes `-` and `_` for the same, so that a client could send a second
spelling of any other name, past a proxy that overwrites only the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

Environ = Mapping[str, Any]
# Frameworks let these change method or path behind the proxy that decided on others.
OVERRIDES = (
    "HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE", "HTTP_X_ORIGINAL_URL",
    "HTTP_X_REWRITE_URL", "HTTP_X_ORIGINAL_URI", "HTTP_X_REWRITE_URI",
)  # fmt: skip


class NotSaid(Exception):
    """The proxy does not say what it has to; its set-up is not Stint's."""


def from_stint_headers(environ: Environ) -> tuple[str, str]:
    """Method and request target as the snippet for nginx says them."""
    return _both(environ.get("HTTP_STINTMETHOD"), environ.get("HTTP_STINTURI"))


def from_forwarded(environ: Environ) -> tuple[str, str]:
    """Method and request target as Traefik and Caddy say them."""
    return _both(environ.get("HTTP_X_FORWARDED_METHOD"), environ.get("HTTP_X_FORWARDED_URI"))


def from_envoy(environ: Environ) -> tuple[str, str]:
    """Envoy asks with the request's own line below a prefix. WSGI decodes the path, so the snippet says it again as it was;
    the two must agree.
    """
    method, uri = _both(environ.get("REQUEST_METHOD"), environ.get("HTTP_STINTURI"))
    path, _, query = uri.partition("?")
    asked = str(environ.get("PATH_INFO", "")).removeprefix(ENVOY)
    if unquote_to_bytes(path) != asked.encode("latin-1", "replace") or query != environ.get(
        "QUERY_STRING", ""
    ):
        raise NotSaid("what Envoy asks about and what it says in Stinturi are two things")
    return method, uri


def _both(method: str | None, uri: str | None) -> tuple[str, str]:
    if not method or not uri:
        raise NotSaid(
            "the proxy does not send the original request; configure it with `manage.py http_target_setup`"
        )
    return method, uri


ENVOY = "/authz/envoy"
READERS: Mapping[str, Callable[[Environ], tuple[str, str]]] = {
    "/authz/nginx": from_stint_headers,
    "/authz/forward": from_forwarded,
}

"""Read the original request from the headers that each kind of proxy sends.

Stint's own headers have no hyphen: WSGI treats `-` and `_` as equal, so a client could send a second spelling
of a hyphenated name, and a proxy that overwrites only the first spelling would pass it on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from sessions_app.policy.commands.http.headers import OVERRIDES

Environ = Mapping[str, Any]
# The headers that change a request, by their WSGI names.
CHANGING = {f"HTTP_{name.upper().replace('-', '_')}": name for name in OVERRIDES}


class NotSaid(Exception):
    """The proxy does not send a required header, because it is not set up as Stint prints."""


def from_stint_headers(environ: Environ) -> tuple[str, str]:
    """Return the method and the request target from the headers of Stint's nginx snippet."""
    return _both(environ.get("HTTP_STINTMETHOD"), environ.get("HTTP_STINTURI"))


def from_forwarded(environ: Environ) -> tuple[str, str]:
    """Return the method and the request target from the headers of Traefik and Caddy."""
    return _both(environ.get("HTTP_X_FORWARDED_METHOD"), environ.get("HTTP_X_FORWARDED_URI"))


def from_envoy(environ: Environ) -> tuple[str, str]:
    """Return the method and the request target from a check by Envoy.

    Envoy sends the check with the request's own path below a prefix. WSGI decodes that path, so Stint's
    snippet also sends it unchanged. The two must match.
    """
    method, uri = _both(environ.get("REQUEST_METHOD"), environ.get("HTTP_STINTURI"))
    path, _, query = uri.partition("?")
    asked = str(environ.get("PATH_INFO", "")).removeprefix(ENVOY)
    if unquote_to_bytes(path) != asked.encode("latin-1", "replace") or query != environ.get(
        "QUERY_STRING", ""
    ):
        raise NotSaid("the request that Envoy checks does not match Stinturi")
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

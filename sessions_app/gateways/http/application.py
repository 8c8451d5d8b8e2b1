"""Decisions for proxies: a WSGI application that runs in front of Django in the same process, and passes
on all other requests.

Source: PEP 3333; RFC 6750 §3 and RFC 9449 §7.1 for the challenges; AuthZEN Authorization API 1.0.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from sessions_app.gateways.http.authzen import AUTHZEN_PATHS, AuthZEN
from sessions_app.gateways.http.deciding import Answer, Asked, Decider, NoToken, Passed, Shut
from sessions_app.gateways.http.denials import Denial
from sessions_app.gateways.http.reading import CHANGING, ENVOY, READERS, NotSaid, from_envoy

Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]
# Django's handler has its own types.
Application = Any

_AUTHORIZATION = re.compile(r"(Bearer|DPoP) (sgt_[A-Za-z0-9_-]{43})", re.IGNORECASE)
_PROBE = re.compile(r"[0-9a-f]{32}")
_NOBODY: list[bytes] = []


class HTTPGateway:
    """Responds to `/authz/…` and AuthZEN; every other request goes to ``inner``."""

    def __init__(self, inner: Application, decider: Decider | None = None) -> None:
        self.inner = inner
        self.decider = decider or Decider()
        self.authzen = AuthZEN(self.decider)

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer one request. Source: PEP 3333."""
        path = environ["PATH_INFO"]
        reader = READERS.get(path)
        if reader is None:
            if path in AUTHZEN_PATHS:
                return self.authzen(environ, start)
            if not path.startswith(ENVOY + "/"):
                passed_on: Iterable[bytes] = self.inner(environ, start)
                return passed_on
            reader = from_envoy
        token = _AUTHORIZATION.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
        if token is None:
            return _challenge(environ, start)
        try:
            method, uri = reader(environ)
        except NotSaid as error:
            return _json(start, 403, {"title": "Request refused by Stint.", "detail": f"{error}."})
        return self._answer(start, self.decider.decide(_asked(environ, method, uri, token)))

    def _answer(self, start: Start, answer: Answer) -> Iterable[bytes]:
        if isinstance(answer, Passed):
            use = answer.use
            start(
                "200 OK",
                [
                    ("stint-holder", use.holder if use.holder.isascii() else quote(use.holder)),
                    ("stint-grant", use.grant_ref),
                    ("content-length", "0"),
                ],
            )
            return _NOBODY
        if isinstance(answer, NoToken):
            return _no_token(start, answer)
        if isinstance(answer, Shut):
            return _json(start, 503, {"title": answer.message, "status": 503}, [("retry-after", "1")])
        return _denied(start, answer)


def _asked(environ: Environ, method: str, uri: str, token: re.Match[str]) -> Asked:
    override = next((name for header, name in CHANGING.items() if header in environ), "")
    return Asked(
        environ.get("HTTP_STINTPROXY", ""),
        environ.get("HTTP_STINTTARGET", ""),
        method,
        uri,
        token[2],
        len(token[1]) == 4,
        environ.get("HTTP_DPOP", ""),
        environ.get("HTTP_STINTORIGIN", ""),
        environ.get("HTTP_STINTCLIENT")
        or environ.get("HTTP_X_FORWARDED_FOR")
        or environ.get("REMOTE_ADDR", ""),
        override=override,
        accept=environ.get("HTTP_ACCEPT", ""),
    )


def probe_answer(proxy_key: str, nonce: str) -> str:
    """Return Stint's answer to a nonce sent through a proxy with this key. Only Stint can compute the
    answer.
    """
    return hmac.new(proxy_key.encode(), f"stint-probe:{nonce}".encode(), hashlib.sha256).hexdigest()


def _challenge(environ: Environ, start: Start) -> Iterable[bytes]:
    """Require a token, and prove to Stint's own connector that the proxy queries Stint with the right key."""
    nonce, said = environ.get("HTTP_STINTPROBE", ""), 'Bearer realm="stint"'
    if environ.get("HTTP_AUTHORIZATION"):
        said += ', error="invalid_token"'
    if _PROBE.fullmatch(nonce) and environ.get("HTTP_STINTPROXY"):
        said += f', probe="{probe_answer(environ["HTTP_STINTPROXY"], nonce)}"'
    body = {"title": "A grant token is required.", "status": 401, "code": "no_token"}
    return _json(start, 401, body, [("www-authenticate", said)])


def _no_token(start: Start, answer: NoToken) -> Iterable[bytes]:
    if answer.error == "invalid_dpop_proof":
        said = f'DPoP error="{answer.error}", algs="ES256 Ed25519"'
    else:
        said = f'Bearer realm="stint", error="{answer.error}"'
    body = {
        "title": "The token is not valid here.",
        "detail": answer.message,
        "status": 401,
        "code": answer.error,
    }
    return _json(start, 401, body, [("www-authenticate", said)])


def _denied(start: Start, denial: Denial) -> Iterable[bytes]:
    """Send the denial as the body, and as a header for proxies that drop the body of a response (nginx)."""
    body = denial.as_problem()
    return _json(start, 403, body, [("stintdenial", json.dumps(body, separators=(",", ":")))])


def _json(
    start: Start, status: int, body: dict[str, Any], headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    data = json.dumps(body, ensure_ascii=False).encode()
    start(
        f"{status} {HTTPStatus(status).phrase}",
        [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            ("content-length", str(len(data))),
            *headers,
        ],
    )
    return [data]

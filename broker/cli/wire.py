"""Requests to Stint over HTTP. Requests are retried unless they are unsafe to repeat.

Errors are parsed as problem details (RFC 9457) or as OAuth errors (RFC 6749 section 5.2).
"""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import truststore
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from . import __version__
from .errors import CliError, Exit, NotSignedIn, Unreachable, Usage

TIMEOUT = urllib3.Timeout(connect=10, read=40)
TRIES = 4
# Seconds before the second, third and later attempts.
_PAUSES = (0.3, 1.0, 2.0)
_LONGEST_PAUSE = 20.0
_AGAIN = frozenset({429, 502, 503, 504})
# The error code for a retry while the first request, whose response was lost, is still in progress.
_IN_PROGRESS = "idempotency_key_in_use"
# The error code for a request that is refused until another request has been decided.
_TOO_MANY_OPEN = "too_many_open_requests"
_LARGEST = 32 * 1024 * 1024
_STATUS = {
    400: Exit.USAGE,
    401: Exit.NOT_SIGNED_IN,
    403: Exit.REFUSED,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    422: Exit.REFUSED,
}


class OAuthRefused(CliError):
    """An error response of an OAuth endpoint. ``code`` is its error code."""


class Wire:
    """A client of one server. ``fresh`` returns a new token when the current one is no longer valid."""

    def __init__(
        self, url: str, token: str = "", *, ca_file: str = "", fresh: Callable[[], str] = str
    ) -> None:
        self.url = url
        self._token, self._fresh = token, fresh
        self._pool = urllib3.PoolManager(
            retries=False, timeout=TIMEOUT, ssl_context=trust(ca_file), maxsize=4, headers=None
        )

    def __repr__(self) -> str:
        return f"Wire({self.url!r})"

    # Requests

    def get(self, path: str, **query: Any) -> Any:
        """Return the resource at a path of the API, like ``/me``. Raises CliError."""
        return self._asked("GET", self._api(path), fields=_query(query))

    def pages(self, path: str, *, most: int = 200, **query: Any) -> list[dict[str, Any]]:
        """Return the rows of a paginated list, at most ``most``. Raises CliError."""
        return list(self._rows(path, most, query))

    def _rows(self, path: str, most: int, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        page = self.get(path, page_size=min(most, 200), **query)
        count = 0
        while True:
            for row in page["results"]:
                if count == most:
                    return
                count += 1
                yield row
            following = page.get("next")
            if not following:
                return
            page = self._asked("GET", self._same_place(following))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, again: bool = True) -> Any:
        """Post a body. Retries send the same Idempotency-Key. Raises CliError.

        ``again`` is False for an endpoint that doesn't accept such a key; requests to it are not retried.
        """
        headers = {"Content-Type": "application/json"}
        if again:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        data = json.dumps(body or {}).encode()
        return self._asked("POST", self._api(path), body=data, headers=headers, again=again)

    def delete(self, path: str) -> Any:
        """Delete the resource at a path, and return the response. Not retried. Raises CliError."""
        return self._asked("DELETE", self._api(path), again=False)

    def form(self, path: str, **fields: str) -> Any:
        """Post a form to an OAuth endpoint. Raises OAuthRefused with the endpoint's error code, and
        CliError.
        """
        answer = self._send("POST", f"{self.url}{path}", fields=fields, encode_multipart=False)
        if 200 <= answer.status < 300:
            return _json(answer.data) if answer.data else {}
        raise self._refusal(answer)

    def text(self, path: str) -> tuple[str, str | None]:
        """Return a part of a run's output, and the path of the next part."""
        page = self._asked("GET", self._api(path) if path.startswith("/runs") else self._same_place(path))
        return str(page["text"]), page.get("next")

    # Transport

    def _api(self, path: str) -> str:
        return f"{self.url}/api/v1{path}"

    def _same_place(self, path: str) -> str:
        """Return the URL of the next page. It must be a path, because another server would get the token."""
        if not path.startswith("/api/"):
            raise Unreachable("The next page is on another server.", "Contact the administrator.")
        return f"{self.url}{path}"

    def _asked(self, method: str, url: str, *, again: bool = True, **sent: Any) -> Any:
        last: Unreachable | None = None
        for number in range(TRIES):
            try:
                answer = self._send(method, url, **sent)
            except NeverSent as error:
                last = error
                wait = _pause(number)
            except Unreachable as error:
                if not again:
                    raise
                last, wait = error, _pause(number)
            else:
                if answer.status == 401 and self._renewed():
                    continue
                if not _passes(answer) or not again or number == TRIES - 1:
                    return self._read(answer)
                wait = _wait(answer.headers.get("Retry-After"), number)
            if number < TRIES - 1:
                time.sleep(wait)
        raise last or Unreachable("Stint did not respond.")

    def _renewed(self) -> bool:
        """Read the token again, and return whether it changed.

        The server rejected the request with the old token, so the request can be repeated.
        """
        before, self._token = self._token, self._fresh() or self._token
        return self._token != before

    def _send(self, method: str, url: str, **sent: Any) -> Answer:
        headers = {
            "Accept": "application/json, application/problem+json",
            "User-Agent": f"stint/{__version__}",
            **sent.pop("headers", {}),
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            # Redirects are not followed, because they would send the token elsewhere.
            answer = self._pool.request(method, url, headers=headers, redirect=False, **sent)
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NeverSent(f"Stint at {self.url} did not respond: {_why(error)}.") from None
        except MaxRetryError as error:
            raise Unreachable(
                f"Stint at {self.url} did not respond: {_why(error.reason or error)}."
            ) from None
        except HTTPError as error:
            raise _lost(self.url, error) from None
        if 300 <= answer.status < 400:
            there = answer.headers.get("Location", "")
            raise Unreachable(
                f"{self.url} redirects to {there[:200]}.",
                "If this is your Stint server, run `stint login URL`.",
            )
        return answer

    def _read(self, answer: Answer) -> Any:
        if 200 <= answer.status < 300:
            return _json(answer.data) if answer.data else None
        raise self._refusal(answer)

    def _refusal(self, answer: Answer) -> CliError:
        try:
            said = _json(answer.data)
        except Unreachable:
            said = {}
        if "error" in said:
            status = _STATUS.get(answer.status, Exit.UNREACHABLE)
            words = str(said.get("error_description") or said["error"])
            return OAuthRefused(words, status=status, code=str(said["error"]))
        if answer.status == 401:
            return NotSignedIn(
                str(said.get("title") or "Your token is not valid."), f"Run `stint login {self.url}`."
            )
        if not said.get("title"):
            return Unreachable(f"{self.url} responded with {answer.status} and is not a Stint server.")
        code = str(said.get("code", ""))
        # A request that is still in progress was not refused.
        status = Exit.UNREACHABLE if code == _IN_PROGRESS else _STATUS.get(answer.status, Exit.UNREACHABLE)
        if code == _TOO_MANY_OPEN:
            status = Exit.REFUSED
        return CliError(
            str(said["title"]),
            str(said.get("detail", "")),
            status=status,
            code=code,
            fields=said.get("fields"),
            rules=said.get("rules", ()),
        )


Answer = urllib3.BaseHTTPResponse


class NeverSent(Unreachable):
    """No connection was established, so the request was not sent."""


def trust(ca_file: str) -> ssl.SSLContext:
    """Return a TLS context with the operating system's CAs, or with those in ``ca_file``."""
    if not ca_file:
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Usage(f"STINT_CA_FILE can't be read: {error}.") from None


def _query(query: Mapping[str, Any]) -> dict[str, str]:
    said = {True: "true", False: "false"}
    return {
        name: said[value] if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None
    }


def _json(data: bytes) -> Any:
    if len(data) > _LARGEST:
        raise Unreachable("Stint's response is too large.")
    try:
        value = json.loads(data)
    except ValueError:
        raise Unreachable("The server is not a Stint server.") from None
    if not isinstance(value, dict):
        raise Unreachable("The server is not a Stint server.")
    return value


def _passes(answer: Answer) -> bool:
    """Whether the same request may succeed if it is repeated in a moment."""
    try:
        code = _json(answer.data).get("code") if answer.status in (409, 429) else ""
    except Unreachable:
        code = ""
    return code == _IN_PROGRESS or (answer.status in _AGAIN and code != _TOO_MANY_OPEN)


def _pause(number: int) -> float:
    return _PAUSES[min(number, len(_PAUSES) - 1)]


def _wait(after: str | None, number: int) -> float:
    """Return the seconds of Retry-After (RFC 9110 section 10.2.3), within limits, or the usual pause."""
    if after and len(after) < 10 and after.isascii() and after.isdigit():
        return min(float(after), _LONGEST_PAUSE)
    return _pause(number)


def _lost(url: str, error: HTTPError) -> Unreachable:
    if isinstance(error, urllib3.exceptions.SSLError):
        return Unreachable(
            f"The certificate for {url} is not valid: {_why(error)}.",
            "If the server uses a private CA, set STINT_CA_FILE.",
        )
    return Unreachable(f"The response from {url} was lost: {_why(error)}.")


def _why(error: BaseException) -> str:
    """Return the innermost reason, without the library's class names."""
    words = str(error.__cause__ or error.__context__ or error)
    return words.rpartition("] ")[2].rpartition(": ")[2].rstrip(".")[:200] or type(error).__name__


def patiently(ask: Callable[[], Any], *, for_seconds: float, tell: Callable[[str], None]) -> Any:
    """Call ``ask`` until it succeeds. Raises Unreachable after ``for_seconds`` without a response."""
    began = time.monotonic()
    while True:
        try:
            return ask()
        except Unreachable as error:
            if time.monotonic() - began > for_seconds:
                raise
            tell(f"{error.message} Retrying.")
            time.sleep(1)

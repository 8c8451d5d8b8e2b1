"""Asking Stint over HTTP. What is not safe to send twice is sent once; the rest is tried again.

Errors are read as problems (RFC 9457), or as OAuth writes them (RFC 6749 section 5.2).
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
# Seconds before the second, third … try.
_PAUSES = (0.3, 1.0, 2.0)
_LONGEST_PAUSE = 20.0
_AGAIN = frozenset({429, 502, 503, 504})
_LARGEST = 32 * 1024 * 1024
_STATUS = {
    400: Exit.USAGE, 401: Exit.NOT_SIGNED_IN, 403: Exit.REFUSED, 404: Exit.NOT_FOUND, 409: Exit.REFUSED, 422: Exit.REFUSED,
}  # fmt: skip


class OAuthRefused(CliError):
    """An OAuth endpoint said no; ``code`` is its word for why."""


class Wire:
    """One server, asked with one token; ``fresh`` gives the one to go on with when it is not good any more."""

    def __init__(
        self, url: str, token: str = "", *, ca_file: str = "", fresh: Callable[[], str] = str
    ) -> None:
        self.url = url
        self._token, self._fresh = token, fresh
        self._pool = urllib3.PoolManager(
            retries=False, timeout=TIMEOUT, ssl_context=_trust(ca_file), maxsize=4, headers=None
        )

    def __repr__(self) -> str:
        return f"Wire({self.url!r})"

    # Reading and acting

    def get(self, path: str, **query: Any) -> Any:
        """Return what is at an address of the API, like ``/me``. Raises CliError."""
        return self._asked("GET", self._api(path), fields=_query(query))

    def pages(self, path: str, *, most: int = 200, **query: Any) -> list[dict[str, Any]]:
        """Return the rows of a list, ``most`` at most, over all of its pages. Raises CliError."""
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
        """Act, once: a repeat carries the same Idempotency-Key. ``again`` False for what takes none. Raises CliError."""
        headers = {"Content-Type": "application/json"}
        if again:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        data = json.dumps(body or {}).encode()
        return self._asked("POST", self._api(path), body=data, headers=headers, again=again)

    def form(self, path: str, **fields: str) -> Any:
        """Post a form to an OAuth endpoint. Raises OAuthRefused with the endpoint's word, and CliError."""
        answer = self._send("POST", f"{self.url}{path}", fields=fields, encode_multipart=False)
        if 200 <= answer.status < 300:
            return _json(answer.data) if answer.data else {}
        raise self._refusal(answer)

    def text(self, path: str) -> tuple[str, str | None]:
        """Return a part of what a run printed, and the address of the next part."""
        page = self._asked("GET", self._api(path) if path.startswith("/runs") else self._same_place(path))
        return str(page["text"]), page.get("next")

    # On the way

    def _api(self, path: str) -> str:
        return f"{self.url}/api/v1{path}"

    def _same_place(self, path: str) -> str:
        """Pages go on at a path; an address elsewhere would get the token."""
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
                if answer.status not in _AGAIN or not again or number == TRIES - 1:
                    return self._read(answer)
                wait = _wait(answer.headers.get("Retry-After"), number)
            if number < TRIES - 1:
                time.sleep(wait)
        raise last or Unreachable("Stint did not answer.")

    def _renewed(self) -> bool:
        """Whether there is another token by now: then nothing was done with the old one, and it may be asked again."""
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
            # Redirects are not followed: the token would go along to another place.
            answer = self._pool.request(method, url, headers=headers, redirect=False, **sent)
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NeverSent(f"Stint does not answer at {self.url}: {_why(error)}.") from None
        except MaxRetryError as error:
            raise Unreachable(
                f"Stint does not answer at {self.url}: {_why(error.reason or error)}."
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
            return Unreachable(f"{self.url} answered {answer.status}, and is not a Stint server.")
        return CliError(
            str(said["title"]), str(said.get("detail", "")), status=_STATUS.get(answer.status, Exit.UNREACHABLE),
            code=str(said.get("code", "")), fields=said.get("fields"), rules=said.get("rules", ()),
        )  # fmt: skip


Answer = urllib3.BaseHTTPResponse


class NeverSent(Unreachable):
    """No connection came about, so that nothing can have been done."""


def _trust(ca_file: str) -> ssl.SSLContext:
    """The authorities of the operating system, where a company puts its own; or the one file that is given."""
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
        raise Unreachable("Stint's answer is too long.")
    try:
        value = json.loads(data)
    except ValueError:
        raise Unreachable("The server is not a Stint server.") from None
    if not isinstance(value, dict):
        raise Unreachable("The server is not a Stint server.")
    return value


def _pause(number: int) -> float:
    return _PAUSES[min(number, len(_PAUSES) - 1)]


def _wait(after: str | None, number: int) -> float:
    """How long the server wants to be left alone (RFC 9110 section 10.2.3), within reason."""
    if after and len(after) < 10 and after.isascii() and after.isdigit():
        return min(float(after), _LONGEST_PAUSE)
    return _pause(number)


def _lost(url: str, error: HTTPError) -> Unreachable:
    if isinstance(error, urllib3.exceptions.SSLError):
        return Unreachable(
            f"The certificate of {url} is not valid: {_why(error)}.",
            "If it uses a private CA, set STINT_CA_FILE.",
        )
    return Unreachable(f"The response of {url} was lost: {_why(error)}.")


def _why(error: BaseException) -> str:
    """The innermost reason, without the library's names."""
    words = str(error.__cause__ or error.__context__ or error)
    return words.rpartition("] ")[2].rpartition(": ")[2].rstrip(".")[:200] or type(error).__name__


def patiently(ask: Callable[[], Any], *, for_seconds: float, tell: Callable[[str], None]) -> Any:
    """Ask until there is an answer; give up with Unreachable when there was none for so long."""
    began = time.monotonic()
    while True:
        try:
            return ask()
        except Unreachable as error:
            if time.monotonic() - began > for_seconds:
                raise
            tell(f"{error.message} Trying again.")
            time.sleep(1)

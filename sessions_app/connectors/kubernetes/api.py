"""Calls to an API server. Each call has a timeout, and all calls of a task share its deadline.

Uses urllib3 directly. The generated client would add fourteen packages to send nine kinds of requests, and
has its own retry policy.
"""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, SSLError

from sessions_app.connectors.base import ConnectorError, TargetSpec
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters

CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0
# A connector call has 25 s. The rest is for storing the result.
TASK_SECONDS = 22.0
MAX_ANSWER = 32 * 1024 * 1024
PAGE = 500
SETUP = "See `manage.py kubernetes_target_setup`."

Data = dict[str, Any]


class Away(ConnectorError):
    """The API server does not respond."""


def tls_context(ca: str) -> ssl.SSLContext:
    """Return a context that trusts only a cluster's CA certificate (PEM).

    Raises ssl.SSLError or ValueError if the certificate is invalid.
    """
    context = ssl.create_default_context(cadata=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Since Python 3.13, this flag requires extensions that the CA certificates of many clusters lack.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@lru_cache(maxsize=64)
def _pool(process: int, address: str, port: int, ca: str, name: str) -> urllib3.HTTPSConnectionPool:
    """Return the connections to one API server, kept open between tasks. Processes must not share them."""
    del process
    context = tls_context(ca)
    return urllib3.HTTPSConnectionPool(
        address,
        port,
        ssl_context=context,
        server_hostname=name or None,
        maxsize=8,
        block=False,
        retries=False,
    )


def is_object(made: object) -> bool:
    """Whether an object has the structure of a service account, a role or a binding."""
    if not isinstance(made, dict) or not isinstance(meta := made.get("metadata"), dict):
        return False
    texts = isinstance(meta.get("name"), str) and isinstance(meta.get("namespace", ""), str)
    maps = (meta.get(key) or {} for key in ("labels", "annotations"))
    lists = [made.get(key) or [] for key in ("rules", "subjects")]
    return (
        texts
        and all(isinstance(one, dict) for one in maps)
        and all(isinstance(many, list) and all(isinstance(one, dict) for one in many) for many in lists)
        and all(isinstance(value, list) for rule in lists[0] for value in rule.values())
    )


def _untrusted(error: Exception) -> str:
    """Return why a server's certificate is not trusted, in OpenSSL's words; empty for other errors."""
    cause = error.args[0] if isinstance(error, SSLError) and error.args else None
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else ""


def _dropped(error: Exception) -> bool:
    """Whether a connection broke. A break during a write appears as a TLS error."""
    return isinstance(error, ProtocolError | SSLError) and not _untrusted(error)


class Api:
    """The API server of one target, with the time limit of one task."""

    def __init__(self, place: TargetSpec, *, seconds: float = TASK_SECONDS) -> None:
        if not isinstance(place.parameters, KubernetesParameters):
            raise ConnectorError(
                f"{place.target.name} has no Kubernetes parameters. Set it up again.", permanent=True
            )
        self.place, self.parameters = place, place.parameters
        self.name = place.target.name
        self.calls = 0
        self._ends = time.monotonic() + seconds

    def call(
        self,
        method: str,
        path: str,
        body: Data | None = None,
        *,
        query: Mapping[str, str] | None = None,
        also: tuple[int, ...] = (),
    ) -> tuple[int, Data]:
        """Return the status and the response.

        Raises ConnectorError for an error status that is not in ``also``.
        """
        url = f"{path}?{urlencode(query)}" if query else path
        status, answer = self._send(method, url, body)
        if status >= 300 and status not in also:
            raise self._refused(status, answer, f"{method} {path}")
        return status, answer

    def items(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Data]:
        """Yield all objects of a list, page by page."""
        asked = {**(query or {}), "limit": str(PAGE)}
        while True:
            _, answer = self.call("GET", path, query=asked)
            found, meta = answer.get("items") or [], answer.get("metadata") or {}
            if "items" not in answer or not isinstance(found, list) or not isinstance(meta, dict):
                raise self.nonsense(path)
            for one in found:
                yield self.sound(one, path)
            more = meta.get("continue")
            if not more:
                return
            asked["continue"] = str(more)

    def sound(self, made: object, path: str) -> Data:
        """Return an object after checking the types of its fields.

        Raises ConnectorError if a type is wrong.
        """
        if not is_object(made):
            raise self.nonsense(path)
        found: Data = made  # type: ignore[assignment]  # just checked
        return found

    def nonsense(self, path: str) -> ConnectorError:
        """Return the error for a response that no Kubernetes API server would send."""
        return ConnectorError(f"{self.name} did not respond to {path} as Kubernetes does. Stint retries.")

    def wait(self, seconds: float) -> bool:
        """Wait if the task has enough time left, and return whether it had."""
        if time.monotonic() + seconds > self._ends:
            return False
        time.sleep(seconds)
        return True

    def _send(self, method: str, url: str, body: Data | None) -> tuple[int, Data]:
        """Send a call, and retry it once if the connection was dropped, because API servers close idle
        connections.

        All of these calls are idempotent.
        """
        for last in (False, True):
            try:
                return self._try(method, url, body)
            except (HTTPError, OSError, ValueError) as error:
                if last or not _dropped(error):
                    raise self._away(error) from error
        raise AssertionError

    def _try(self, method: str, url: str, body: Data | None) -> tuple[int, Data]:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the API server's responses took too long")
        self.calls += 1
        pool = self._pool()
        headers = {
            "Authorization": f"Bearer {self.parameters.token.get_secret_value()}",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "stint",
        }
        response = pool.urlopen(
            method,
            url,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            retries=False,
            redirect=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, left), read=min(READ_SECONDS, left)),
        )
        return response.status, self._read(response)

    def _pool(self) -> urllib3.HTTPSConnectionPool:
        target, said = self.place.target, self.parameters
        try:
            return _pool(os.getpid(), target.address, target.port, said.ca, said.server_name)
        except (ssl.SSLError, ValueError) as error:
            raise ConnectorError(
                f"The ca certificate of {self.name} can't be read. Copy it again in full.",
                permanent=True,
            ) from error

    def _read(self, response: urllib3.BaseHTTPResponse) -> Data:
        """Return the whole response, within the limits of time and size.

        A connection with unread data is not reused.
        """
        text, whole = bytearray(), False
        try:
            while part := response.read1(65536):
                text += part
                if len(text) > MAX_ANSWER or time.monotonic() > self._ends:
                    raise TimeoutError("the API server's response was too slow or too large")
            whole = True
        finally:
            if whole:
                response.release_conn()
            else:
                response.close()
        try:
            # The record can't store NUL characters.
            found = json.loads(bytes(text).replace(b"\\u0000", b"\\ufffd")) if text else {}
        except ValueError:
            return {"message": bytes(text[:200]).decode("utf-8", "replace")}
        return found if isinstance(found, dict) else {}

    def _away(self, error: Exception) -> ConnectorError:
        if why := _untrusted(error):
            return ConnectorError(
                f"{self.name} failed TLS verification: {why.rstrip('.')}. Fix ca and server_name, or find "
                "out which server is responding at this address.",
                permanent=True,
            )
        return Away(f"{self.name} did not respond ({type(error).__name__}). Stint retries.")

    def _refused(self, status: int, answer: Data, what: str) -> ConnectorError:
        said = str(answer.get("message") or "it gave no reason").replace(
            self.parameters.token.get_secret_value(), "…"
        )
        said = "".join(char if char.isprintable() else " " for char in said[:600])
        if status == 401:
            return ConnectorError(
                f"{self.name} rejects Stint's token (401). Create a new token and set it as token. {SETUP}",
                permanent=True,
            )
        if status == 403:
            return ConnectorError(
                f"{self.name} denies Stint a permission (403, {what}): {said}. {SETUP}", permanent=True
            )
        later = status == 429 or status >= 500 or status == 409
        return ConnectorError(f"{self.name} returned {status} for {what}: {said}.", permanent=not later)

"""One question to a source over HTTPS: short, without redirects, and with a bounded answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import urllib3

from sessions_app.workflows.base import CALL_SECONDS, MAX_ANSWER, SourceError

_TOO_MANY = 429
_FIRST_FAULT = 500
_NOT_FOUND = 404
_REFUSED = (401, 403)
_pool = urllib3.PoolManager(
    num_pools=20,
    maxsize=4,
    retries=False,
    timeout=urllib3.Timeout(total=CALL_SECONDS, connect=3.0),
    # A source that is not asked is spared nothing by an open connection.
    block=False,
)


def ask(url: str, headers: Mapping[str, str]) -> Any:
    """Return the JSON that a GET answers, None where there is no such thing. Raises SourceError with what to do."""
    try:
        answer = _pool.request(
            "GET", url, headers={"User-Agent": "stint", **headers}, redirect=False, preload_content=False
        )
        try:
            body = answer.read(MAX_ANSWER + 1)
        finally:
            # What is left unread would come first on the next question.
            answer.close()
            answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        raise SourceError(f"It does not answer: {_said(error)}") from error
    return _read(answer.status, body)


def _said(error: Exception) -> str:
    """Return what went wrong, without the address, which may hold an id."""
    return type(error).__name__.removesuffix("Error").removesuffix("Exception") or "no connection"


def _read(status: int, body: bytes) -> Any:
    if status == _NOT_FOUND:
        return None
    if status in _REFUSED:
        raise SourceError(f"It refuses Stint's token (status {status}): give a token that may read the work.")
    if status == _TOO_MANY:
        raise SourceError("It was asked too often (status 429): it is asked again later.")
    if status != 200:
        trouble = "it has trouble of its own" if status >= _FIRST_FAULT else "look at the address"
        raise SourceError(f"It answers with the status {status}: {trouble}.")
    if len(body) > MAX_ANSWER:
        raise SourceError(f"Its answer is larger than {MAX_ANSWER // 1024} KiB.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SourceError("Its answer is no JSON: look at the address.") from error

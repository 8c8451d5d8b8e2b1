"""Query a source over HTTPS, with a short timeout, no redirects, and a limit on the response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from broker.kernel.outgoing import Outgoing, Reply, Unreached
from sessions_app.workflows.base import CALL_SECONDS, MAX_ANSWER, InTrouble, OddAnswer, SourceError

_TOO_MANY = 429
_FIRST_FAULT = 500
_NOT_FOUND = 404
_REFUSED = (401, 403)
# Administrators choose the addresses of sources, many of which are on internal networks.
_outgoing = Outgoing(agent="stint", allowed=None, total=CALL_SECONDS, most=MAX_ANSWER)


def ask(url: str, headers: Mapping[str, str]) -> Any:
    """Return the JSON response to a GET; None if it is not found.

    Raises SourceError with the fix, and OddAnswer or InTrouble if another address might give a better
    response.
    """
    try:
        reply = _outgoing.exchange(url, headers=headers)
    except Unreached as error:
        # The message does not contain the address, because an address can contain an ID.
        raise SourceError(f"The source does not respond. {error}") from error
    return _read(reply)


def _read(reply: Reply) -> Any:
    status = reply.status
    if status == _NOT_FOUND:
        return None
    if status in _REFUSED:
        # Some sources use these statuses for objects that the token may not read, such as one restricted
        # ticket.
        raise InTrouble(f"it rejects Stint's token (status {status}). Enter a token with read access.")
    if status == _TOO_MANY:
        raise SourceError("The source is rate limiting Stint (status 429). Stint retries later.")
    if status >= _FIRST_FAULT:
        raise InTrouble(f"it responded with status {status}.")
    if status != 200:
        raise OddAnswer(f"The source responded with status {status}: check the address.")
    if not reply.whole:
        raise SourceError("The source's response was cut off or too slow. Stint retries later.")
    if len(reply.body) > MAX_ANSWER:
        raise OddAnswer(f"The source's response is larger than {MAX_ANSWER // 1024} KiB.")
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise OddAnswer("The source's response is not JSON: check the address.") from error

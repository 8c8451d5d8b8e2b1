"""One question to a source over HTTPS: short, without redirects, and with a bounded answer."""

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
# Where sources are is chosen by whoever sets Stint up, and many are inside.
_outgoing = Outgoing(agent="stint", allowed=None, total=CALL_SECONDS, most=MAX_ANSWER)


def ask(url: str, headers: Mapping[str, str]) -> Any:
    """Return the JSON that a GET answers, None where there is no such thing. Raises SourceError with what to do; OddAnswer
    and InTrouble where another address may have a better one.
    """
    try:
        reply = _outgoing.exchange(url, headers=headers)
    except Unreached as error:
        # It names no address, which may hold an id.
        raise SourceError(f"It does not answer. {error}") from error
    return _read(reply)


def _read(reply: Reply) -> Any:
    status = reply.status
    if status == _NOT_FOUND:
        return None
    if status in _REFUSED:
        raise SourceError(f"It refuses Stint's token (status {status}): enter a token with read access.")
    if status == _TOO_MANY:
        raise SourceError("It is rate limited (status 429). Stint retries later.")
    if status >= _FIRST_FAULT:
        raise InTrouble(f"it answered with status {status}.")
    if status != 200:
        raise OddAnswer(f"It answered with status {status}: check the address.")
    if not reply.whole:
        raise SourceError("Its answer broke off or was too slow. Stint retries later.")
    if len(reply.body) > MAX_ANSWER:
        raise OddAnswer(f"Its answer is larger than {MAX_ANSWER // 1024} KiB.")
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise OddAnswer("Its answer is not JSON: check the address.") from error

"""Record the use of a key-bound token without proof of the key."""

from __future__ import annotations

import datetime as dt

from broker.audit.attempts import record_attempt
from broker.audit.events import Event
from broker.kernel.text import recordable_line
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of
from sessions_app.operations.sessions.try_command import MAX_REASON


def record_failed_proof(*, use: AnyUse, line: str, reason: str, now: dt.datetime) -> None:
    """Record an attempt with a valid token whose proof (RFC 9449) is missing or wrong.

    Attempts are counted by token. They never count toward the limit on refused commands: otherwise, anyone
    with only the token could end the grant.
    """
    record_attempt(
        event=Event.COMMAND_REFUSED,
        actor=holder_of(use),
        object_type="grant",
        object_ref=use.grant_ref,
        now=now,
        data={
            "target": use.target.name,
            "line": recordable_line(line),
            "why": reason[:MAX_REASON],
            "code": "proof",
        },
        source=f"token {use.credential_id}",
    )

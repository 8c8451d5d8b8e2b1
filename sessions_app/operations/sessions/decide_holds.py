"""Let a second person decide several held commands in one act."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from accounts.models import Identity
from broker.kernel.errors import StintError
from sessions_app.operations.sessions.decide_hold import decide_hold

MOST = 100


@dataclass(frozen=True, slots=True)
class ReadHold:
    """A held command as a person read it: the id of its run, and the digest of what they read."""

    run_id: int
    digest: str


@dataclass(frozen=True, slots=True)
class HoldOutcome:
    """Whether one command was decided: ``error`` is why it was not, and None if it was."""

    run_id: int
    error: StintError | None


def decide_holds(
    *,
    holds: Collection[ReadHold],
    actor: Identity,
    allow: bool,
    for_grant: bool = False,
    times: int = 1,
    now: dt.datetime,
) -> list[HoldOutcome]:
    """Allow or deny held commands, each by `decide_hold` in its own transaction, in the order of their ids.

    A command that can't be decided, or that is not as it was read, does not affect the others.
    """
    outcomes = []
    # In one order, because a caller's transaction keeps every lock until its end.
    for hold in sorted(holds, key=lambda hold: hold.run_id):
        error: StintError | None = None
        try:
            decide_hold(
                run_id=hold.run_id,
                actor=actor,
                allow=allow,
                for_grant=for_grant,
                times=times,
                digest=hold.digest,
                now=now,
            )
        except StintError as why:
            error = why
        outcomes.append(HoldOutcome(hold.run_id, error))
    return outcomes

"""Verify the record on request."""

from __future__ import annotations

import datetime as dt

from django.db import connection

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.again import verify_onwards
from broker.audit.verify import Verdict
from broker.audit.whole import begin_whole
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import NotFound, StintError


class CheckpointsUnreadable(StintError):
    """The process can't read the checkpoint file. Check ``STINT_CHECKPOINTS_FILE`` and the file's
    permissions.
    """

    code = "checkpoints_unreadable"
    status = 500


class NotForYou(NotFound):
    """Only administrators can verify the record."""

    code = "not_for_you"


def verify_record(*, actor: Identity, now: dt.datetime) -> Verdict | None:
    """Verify the entries that were appended since the last verification, and return the verdict.

    The worker then verifies the whole record, a part at a time.

    Both compare the record with the last signed checkpoint. Return None if there is no earlier verification,
    or too much to read while the caller waits. In that case, only the worker verifies the record. Raises
    NotForYou, CheckpointsUnreadable.
    """
    if not actor.is_superuser:
        raise NotForYou("Only administrators can verify the record.")
    try:
        verdict = verify_onwards(connection=connection, actor=actor_of(actor), now=now)
    except OSError as error:
        raise CheckpointsUnreadable(
            f"The last checkpoint outside the database can't be read: {error}",
            hint=(
                "Make the file readable for the web process. Until then, the worker verifies the record every"
                " ten minutes."
            ),
        ) from error
    if verdict is None or verdict.ok:
        begin_whole(now=now)
        enqueue("record.verify")
    return verdict

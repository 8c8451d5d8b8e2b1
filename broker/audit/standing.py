"""Whether this record is the one whose checkpoints are kept outside the database.

A restored older backup contains grants that were revoked since, and nothing in it shows this. The checkpoints outside
do. So this database must be compared with them once after each start or restore. Nothing may be used or begin before
that, nor after a contradiction was found. Ends continue.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.db import connection

from broker.audit.kept_outside import last_kept
from broker.audit.models import MAIN_LOG, AuditCheckpoint
from broker.audit.signed_note import read
from broker.kernel.errors import Unavailable

# The condition that every decision has in its statement. It is written out, because a SQL function would be planned at
# each decision. It is the same as what `record_incarnation` returns.
STANDS = """EXISTS (SELECT FROM audit_standing WHERE log = 'main' AND contradiction = '' AND incarnation =
    concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), pg_relation_filenode('audit_entry')))"""
_STANDING = f"""
SELECT {STANDS}, (SELECT contradiction FROM audit_standing WHERE log = %s AND incarnation = record_incarnation())
"""  # noqa: S608  # fixed text
_WRITE = """
INSERT INTO audit_standing AS known (log, incarnation, contradiction, at)
VALUES (%s, record_incarnation(), %s, clock_timestamp())
ON CONFLICT (log) DO UPDATE SET incarnation = excluded.incarnation, contradiction = excluded.contradiction, at = excluded.at
 WHERE (known.incarnation, known.contradiction) IS DISTINCT FROM (excluded.incarnation, excluded.contradiction)
"""


class RecordContradicted(Unavailable):
    """The record is not the one that was signed, or this is not known yet."""

    code = "record_contradicted"


class Standing(NamedTuple):
    """``stands``: everything may be used. ``contradiction`` is None until the record was compared."""

    stands: bool
    contradiction: str | None


def check_stands() -> None:
    """Return if access may be used and begin; raise RecordContradicted otherwise."""
    settle()


def stands() -> bool:
    """Whether access may be used and begin."""
    try:
        settle()
    except RecordContradicted:
        return False
    return True


def settle() -> bool:
    """Compare the record with what is kept outside, unless this was done since the database was started or restored.

    Return whether it was done now. Raises RecordContradicted if they do not agree, or if this process can't see what is
    kept. Then the process that makes the checkpoints compares them.
    """
    known = standing()
    if known.stands:
        return False
    if known.contradiction:
        raise _shut()
    if why := contradiction():
        write_standing(why)
        raise _shut()
    if not _is_current():
        raise RecordContradicted(
            "The record has not been compared with the checkpoints outside the database since the database started.",
            hint="The worker does this within a minute. Try again then.",
        )
    write_standing("")
    return True


def standing() -> Standing:
    """Return the result of the comparison for this very database."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, [MAIN_LOG])
        return Standing(*cursor.fetchone())


def write_standing(why: str) -> None:
    """Store the result of the comparison: ``why`` is the contradiction, empty for none."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [MAIN_LOG, why])


def contradiction() -> str:
    """Return, in a sentence, how the last checkpoint in the file is not one of this record. Empty if it is one, or if
    no checkpoint can be read.
    """
    try:
        note = last_kept()
        kept = read(note) if note else None
    except (OSError, ValueError):
        return ""
    if kept is None or AuditCheckpoint.objects.filter(log=MAIN_LOG, size=kept.size, root=kept.root).exists():
        return ""
    return (
        f"The checkpoint of {kept.size:,} entries in {settings.CHECKPOINTS_FILE} does not match this record: an older backup "
        "was restored, or the record was rewritten."
    )


def _is_current() -> bool:
    """Whether the file is as new as the record: an old copy would agree with an old backup."""
    newest = (
        AuditCheckpoint.objects.filter(log=MAIN_LOG).order_by("-size").values_list("size", flat=True).first()
    )
    try:
        note = last_kept()
        return (read(note).size if note else None) == newest
    except (OSError, ValueError):
        return False


def _shut() -> RecordContradicted:
    return RecordContradicted(
        "Access is disabled: the record does not match its signed checkpoints. An older backup was restored, or the "
        "record was rewritten.",
        hint="An administrator must restore the newer database, or run `manage.py restored --reason …`, which ends all access.",
    )

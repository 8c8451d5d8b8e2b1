"""Compare this record with its checkpoints outside the database.

A restored older backup contains grants that have since been revoked. Only the checkpoints outside the
database show this, so the record must be compared with them once after each start or restore. Until then, and
after a contradiction, no access can start or be used, but access can still end.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.db import connection

from broker.audit.kept_outside import last_kept
from broker.audit.models import MAIN_LOG, AuditCheckpoint
from broker.audit.signed_note import read
from broker.kernel.errors import Unavailable

# This condition is part of every decision's SQL statement. The body of `record_incarnation` is inlined,
# because an SQL function would be planned at each decision.
STANDS = """EXISTS (SELECT FROM audit_standing WHERE log = 'main' AND contradiction = '' AND incarnation =
    concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), pg_relation_filenode('audit_entry')))"""
_STANDING = f"""
SELECT {STANDS},
       (SELECT contradiction FROM audit_standing WHERE log = %s AND incarnation = record_incarnation())
"""  # noqa: S608  # fixed text
_WRITE = """
INSERT INTO audit_standing AS known (log, incarnation, contradiction, at)
VALUES (%s, record_incarnation(), %s, clock_timestamp())
ON CONFLICT (log) DO UPDATE
   SET incarnation = excluded.incarnation, contradiction = excluded.contradiction, at = excluded.at
 WHERE (known.incarnation, known.contradiction)
    IS DISTINCT FROM (excluded.incarnation, excluded.contradiction)
"""


class RecordContradicted(Unavailable):
    """The record does not match its checkpoints, or has not been compared with them yet. Access can't be
    used until the comparison succeeds, or an administrator has resolved the difference.
    """

    code = "record_contradicted"


class Standing(NamedTuple):
    """The result of the comparison.

    ``stands`` means that access can be used. ``contradiction`` is None until the record has been compared.
    """

    stands: bool
    contradiction: str | None


def check_stands() -> None:
    """Raise RecordContradicted unless access can start and be used."""
    settle()


def stands() -> bool:
    """Whether access can start and be used."""
    try:
        settle()
    except RecordContradicted:
        return False
    return True


def settle() -> bool:
    """Compare the record with its checkpoints outside the database, unless this was already done since the
    last start or restore. Return whether the comparison was made now. Raises RecordContradicted if they do
    not match, or if this process can't read the current checkpoints. In that case, the process that makes
    checkpoints compares them.
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
            "The record has not been compared with the checkpoints outside the database since the database"
            " started.",
            hint="The worker does this within a minute. Try again then.",
        )
    write_standing("")
    return True


def standing() -> Standing:
    """Return the result of the comparison for this database."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, [MAIN_LOG])
        return Standing(*cursor.fetchone())


def write_standing(why: str) -> None:
    """Store the result of the comparison. ``why`` is the contradiction; empty if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [MAIN_LOG, why])


def contradiction() -> str:
    """Return a sentence that explains how the last checkpoint in the file contradicts this record. Empty if
    there is no contradiction, or no readable checkpoint.
    """
    try:
        note = last_kept()
        kept = read(note) if note else None
    except (OSError, ValueError):
        return ""
    if kept is None or AuditCheckpoint.objects.filter(log=MAIN_LOG, size=kept.size, root=kept.root).exists():
        return ""
    return (
        f"The checkpoint of {kept.size:,} entries in {settings.CHECKPOINTS_FILE} does not match this record:"
        " an older backup was restored, or the record was rewritten."
    )


def _is_current() -> bool:
    """Whether the file is as new as the record. An old copy of the file would match an old backup."""
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
        "Access is disabled: the record does not match its signed checkpoints. An older backup was restored,"
        " or the record was rewritten.",
        hint=(
            "An administrator must restore the newer database, or run `manage.py restored --reason …`, which"
            " ends all access."
        ),
    )

"""Whether this record is the one whose checkpoints are kept outside the database.

An older backup that was restored has grants that were revoked since, and nothing in it says so; the checkpoints outside do.
So nothing may be used or begin before this database was compared with them, once since it was started or restored, nor
after it was found to contradict them. Ends go on.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.db import connection

from broker.audit.kept_outside import last_kept
from broker.audit.models import MAIN_LOG, AuditCheckpoint
from broker.audit.signed_note import read
from broker.kernel.errors import Unavailable

# The condition that every decision has in its statement. Written out, for a function in SQL would be planned at each of them;
# it is what `record_incarnation` says.
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
    """The record is not the one that was signed, or it is not known yet that it is."""

    code = "record_contradicted"


class Standing(NamedTuple):
    """``stands``: everything may be used. ``contradiction`` is None as long as nothing was compared."""

    stands: bool
    contradiction: str | None


def check_stands() -> None:
    """Return when access may be used and begin; raise RecordContradicted when not."""
    settle()


def stands() -> bool:
    """Whether access may be used and begin."""
    try:
        settle()
    except RecordContradicted:
        return False
    return True


def settle() -> bool:
    """Compare the record with what is kept outside, where that was not done since the database was started or restored.

    Return whether it was done now. Raises RecordContradicted when they do not agree, or this process can't see what is kept:
    then another one, which makes the checkpoints, compares them.
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
            "The record has not been compared with the checkpoints outside since the database was started.",
            hint="The worker does this within a minute. Try again then.",
        )
    write_standing("")
    return True


def standing() -> Standing:
    """Return what came of the comparison with this very database."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, [MAIN_LOG])
        return Standing(*cursor.fetchone())


def write_standing(why: str) -> None:
    """Write down what came of it: ``why`` is the contradiction, empty for none."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [MAIN_LOG, why])


def contradiction() -> str:
    """Return in a sentence how the last checkpoint in the file is not one of this record; empty when it is, or there is
    none that can be read.
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
    """Whether the file is as new as the record: an old copy agrees with an old backup."""
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
        "Access is disabled: the record is not the signed one. An older backup was restored, or the record "
        "was rewritten.",
        hint="An administrator must restore the newer database, or run `manage.py restored --reason …`, which ends all access.",
    )

"""Delete recordings whose retention time is over. The record keeps their digests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import Json, record
from sessions_app.models import (
    AccessPolicy,
    CommandOrder,
    CommandRun,
    HeldCommit,
    HeldFile,
    Notice,
    RunState,
    StoredRecording,
)
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.record.recover_recording import FINDER, recover_recording
from sessions_app.queries.record.holds import run_held
from sessions_app.queries.record.recording_content import object_store
from sessions_app.queries.record.recording_files import QUIET, kept_bytes, recordings_trouble, too_old

# The maximum number of files per round and policy, and per record entry.
BATCH = 500
# The time after which administrators are notified again.
AGAIN = dt.timedelta(days=1)
# For this long after a run was cut, this module looks for its recording. Later recordings are found by
# `reconcile_recordings`.
LATELY = dt.timedelta(days=1)
# How long the result of a statement that was started on a page is kept, whatever the policy says.
RESULTS_KEPT = dt.timedelta(days=1)

log = structlog.get_logger(__name__)


def purge_recordings(*, folder: Path, now: dt.datetime) -> int:
    """Delete recordings, in ``folder`` and in the object store, whose retention time under their policies is
    over.

    Return the number of deleted recordings. Recordings of lost gateways are recovered first, so that they
    count toward limits and expire as well. Each deletion is recorded beforehand, so that no file disappears
    without an entry after a crash. Recordings under legal hold stay. Administrators are notified, once a day,
    when space is running out. Without a folder or a store, nothing else is done, because the folder is on
    another machine. The rows that approvers saw of held transactions are deleted after the same time, the
    texts of held uploads with their holds, and the secret values of orders that no gateway claimed.
    """
    CommandOrder.objects.filter(sealed_line__isnull=False, lapses_at__lte=now).update(sealed_line=None)
    # Decisions delete these at once. These are of holds that timed out, or whose grant ended.
    HeldFile.objects.exclude(run__in=CommandRun.objects.waiting(now)).delete()
    for policy in AccessPolicy.objects.all():
        _purge_commits(policy, now)
    if not folder.is_dir() and not settings.RECORDINGS_STORE:
        return 0
    _recover(folder, now)
    for policy in AccessPolicy.objects.all():
        _mark(policy, now)
    _warn(now)
    return sum(_delete(run, folder) for run in _marked())


def _recover(folder: Path, now: dt.datetime) -> None:
    cut = CommandRun.objects.unreported().filter(
        state=RunState.CUT, ended_at__gt=now - LATELY, ended_at__lte=now - QUIET
    )
    for run in cut.select_related("grant"):
        try:
            recover_recording(run=run, folder=folder, now=now)
        except OSError as error:
            log.warning("recording.not_recovered", run=run.pk, error=error.strerror)


@transaction.atomic
def _mark(policy: AccessPolicy, now: dt.datetime) -> None:
    results = Q(rows__isnull=False, order__isnull=False, ended_at__lt=now - RESULTS_KEPT)
    old = CommandRun.objects.filter(
        Q(ended_at__lt=too_old(policy, now)) | results,
        recording_bytes__gt=0,
        recording_purged_at__isnull=True,
        grant__policy=policy,
    ).filter(~Q(run_held()))
    found = list(
        old.order_by("ended_at")[:BATCH]
        .select_related("grant")
        .select_for_update(of=("self",), skip_locked=True, no_key=True)
    )
    CommandRun.objects.filter(pk__in=[run.pk for run in found]).update(recording_purged_at=now)
    for ref, runs in groupby(sorted(found, key=lambda run: run.grant.ref), key=lambda run: run.grant.ref):
        _record(ref, list(runs), now)


@transaction.atomic
def _purge_commits(policy: AccessPolicy, now: dt.datetime) -> None:
    old = CommandRun.objects.filter(
        held_commit__isnull=False, grant__policy=policy, ended_at__lt=too_old(policy, now)
    ).filter(~Q(run_held()))
    found = list(old.order_by("ended_at")[:BATCH].select_related("grant"))
    HeldCommit.objects.filter(run__in=found).delete()
    for ref, runs in groupby(sorted(found, key=lambda run: run.grant.ref), key=lambda run: run.grant.ref):
        _record_gone(ref, [{"run": run.pk, "held_commit": True} for run in runs], now)


def _record(ref: str, runs: Sequence[CommandRun], now: dt.datetime) -> None:
    _record_gone(ref, [{"run": run.pk, "recording_sha256": run.recording_digest} for run in runs], now)


def _record_gone(ref: str, gone: list[Json], now: dt.datetime) -> None:
    record(
        event=Event.RECORDING_PURGED,
        actor=FINDER,
        object_type="grant",
        object_ref=ref,
        now=now,
        data={"runs": gone},
    )


def _marked() -> Sequence[CommandRun]:
    return list(
        CommandRun.objects.filter(recording_bytes__gt=0, recording_purged_at__isnull=False).select_related(
            "stored_as"
        )[: 10 * BATCH]
    )


def _delete(run: CommandRun, folder: Path) -> bool:
    try:
        if stored := getattr(run, "stored_as", None):
            _delete_object(stored)
        (folder / run.recording).unlink(missing_ok=True)
    except OSError as error:
        log.warning("recording.not_deleted", run=run.pk, error=error.strerror)
        return False
    return bool(CommandRun.objects.filter(pk=run.pk).update(recording_bytes=0))


def _delete_object(stored: StoredRecording) -> None:
    """Delete an object and its encryption key. Raises OSError."""
    if stored.object:
        object_store().delete(stored.object)
    stored.delete()


def _warn(now: dt.datetime) -> None:
    trouble = recordings_trouble(kept_bytes(CommandRun.objects.all()))
    told = Notice.objects.filter(event=Event.RECORDING_STORAGE_LOW.value, created_at__gt=now - AGAIN)
    if not trouble or told.exists():
        return
    administrators = Identity.objects.filter(is_superuser=True, is_active=True)
    with transaction.atomic():
        notify(
            people=administrators,
            event=Event.RECORDING_STORAGE_LOW,
            subject="Recording storage is almost full",
            body=f"{trouble[0].upper()}{trouble[1:]}.",
            path="/recordings/",
            now=now,
        )
        record(
            event=Event.RECORDING_STORAGE_LOW,
            actor=FINDER,
            object_type="system",
            object_ref="recordings",
            now=now,
            data={"why": trouble},
        )

"""The plan of a catalog change, and the transaction that applies it or performs a dry run."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml
from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record, rehearsal
from broker.kernel.errors import Conflict
from sessions_app.models import Grant, Proposal
from sessions_app.operations.catalog.catalog_lock import lock_catalog
from sessions_app.operations.catalog.keep_versions import keep_versions
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.policy.digests import digest_of

# Each change has its own record entry. The summary entry names at most this many changes, but has a
# digest of the type, name, number and digest of every new version, in order.
MOST_TOLD = 200

Action = Literal["create", "change", "remove"]


@dataclass(frozen=True, slots=True)
class Change:
    """An object that is created, changed or removed.

    ``diff`` has the lines of a unified diff, and ``ends`` the grants that the change ends. ``document`` is
    the new document, with secrets masked.
    """

    action: Action
    type: str
    name: str
    diff: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    document: Any = field(default=None, repr=False)


@dataclass(slots=True)
class Plan:
    """The steps of a catalog change, in order.

    ``unused`` lists objects that are in the catalog but in no file. ``ending`` lists all grants that would
    end. ``warnings`` describe likely mistakes. ``wider`` lists the keys that require another administrator to
    publish the changes, and ``proposal`` is the version for that administrator to publish.
    """

    changes: list[Change] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    ending: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    wider: list[str] = field(default_factory=list)
    proposal: Proposal | None = None

    @property
    def ends(self) -> tuple[str, ...]:
        """Return the references of all grants that end with the change."""
        return tuple(ref for change in self.changes for ref in change.ends)


class MoreWouldEnd(Conflict):
    """Grants that started since the change was shown would also end. Nothing was changed. Plan the change
    again.
    """

    code = "more_would_end"


@contextlib.contextmanager
def one_change(
    *,
    actor: Actor,
    now: dt.datetime,
    plan_only: bool = False,
    told: Collection[str] | None = None,
    **grants: Any,
) -> Iterator[Plan]:
    """Run the block in one transaction that holds the catalog lock. With ``plan_only``, roll back the
    transaction.

    ``grants`` filters the grants that may have to end. ``told`` lists the grants that the caller was shown as
    ending. If other grants would end too, raises MoreWouldEnd and changes nothing.
    """
    plan = Plan()
    if plan_only:
        # A dry run neither waits for locks nor blocks anyone.
        with rehearsal():
            yield plan
        return
    with transaction.atomic():
        lock_catalog()
        _lock_live_grants(**grants)
        yield plan
        _record_whole(plan, actor, now)
        _check_told(plan, told)


def _lock_live_grants(**which: Any) -> None:
    """Lock the grants that may have to end, before anything is recorded.

    The first entry locks the record, and a transaction that holds a lock on a grant may be waiting for that
    lock.
    """
    live = Grant.objects.before_end().filter(**which)
    locked = (
        live.order_by("pk")
        .select_for_update(no_key=True, of=("self",))
        .values_list("pk", flat=True)
        .iterator()
    )
    lock_descendants(grant_ids=list(locked))


def _check_told(plan: Plan, told: Collection[str] | None) -> None:
    if told is not None and (more := [ref for ref in plan.ends if ref not in told]):
        raise MoreWouldEnd(
            f"{', '.join(more)} would also end, which you have not confirmed. Nothing was changed.",
            hint="Review the change again.",
        )


def _record_whole(plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Record all changes of the transaction in one entry, if there are any, and store the new version of each
    document.
    """
    if plan.changes:
        documents = ((change.type, change.name, change.document) for change in plan.changes)
        kept = keep_versions(documents=documents, actor=actor, now=now)
        record(
            event=Event.CATALOG_APPLIED,
            actor=actor,
            object_type="catalog",
            object_ref="catalog",
            now=now,
            data={
                "count": len(plan.changes),
                "changes": [
                    f"{change.action} {change.type} {change.name}" for change in plan.changes[:MOST_TOLD]
                ],
                "versions": [f"{each.number} {each.digest}" for each in kept[:MOST_TOLD]],
                "digest": digest_of([[each.type, each.name, each.number, each.digest] for each in kept]),
            },
        )


def note(
    plan: Plan, action: Action, type_: str, name: str, before: Any, after: Any, ends: Iterable[str] = ()
) -> None:
    """Add a change to the plan, with its diff."""
    lines = difflib.unified_diff(_lines(before), _lines(after), "now", "then", lineterm="", n=2)
    plan.changes.append(Change(action, type_, name, tuple(lines), tuple(ends), after))


def _lines(data: Any) -> list[str]:
    return yaml.safe_dump(data, sort_keys=True, allow_unicode=True, width=200).splitlines() if data else []

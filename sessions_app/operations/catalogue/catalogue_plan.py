"""What one change of the catalogue changes, and the transaction in which it happens or is only planned."""

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
from sessions_app.models import Grant
from sessions_app.operations.catalogue.catalogue_lock import lock_catalogue
from sessions_app.operations.catalogue.keep_versions import keep_versions
from sessions_app.operations.grants.lock_descendants import lock_descendants

# Each change has its own entry; the entry of the whole names so many.
MOST_TOLD = 200

Action = Literal["create", "change", "remove"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is made, changed or removed; ``diff`` in unified lines, ``ends`` the grants that end with it,
    ``document`` what it says then, secrets masked.
    """

    action: Action
    type: str
    name: str
    diff: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    document: Any = field(default=None, repr=False)


@dataclass(slots=True)
class Plan:
    """What applying changes, in order; ``unused`` stands in the catalogue but in no file, ``ending`` are all grants
    that end, ``warnings`` what can't have been meant.
    """

    changes: list[Change] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    ending: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)

    @property
    def ends(self) -> tuple[str, ...]:
        """The references of all grants that end with it."""
        return tuple(ref for change in self.changes for ref in change.ends)


class MoreWouldEnd(Conflict):
    """Since the change was shown, grants began that would end with it as well; nothing was changed."""

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
    """Make all that is done inside one transaction, while nobody else changes the catalogue; or only plan it.

    ``grants`` filters those that may have to end. ``told`` are the grants whose end was stated before: when others
    would end as well, MoreWouldEnd is raised and nothing is changed.
    """
    plan = Plan()
    if plan_only:
        # Waits for nobody, and locks nobody out.
        with rehearsal():
            yield plan
        return
    with transaction.atomic():
        lock_catalogue()
        _lock_live_grants(**grants)
        yield plan
        _record_whole(plan, actor, now)
        _check_told(plan, told)


def _lock_live_grants(**which: Any) -> None:
    """Lock what may have to end before anything is recorded: from the first entry on the record is locked, and who holds
    a grant may be waiting for it.
    """
    live = Grant.objects.before_end().filter(**which)
    locked = live.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True).iterator()
    lock_descendants(grant_ids=list(locked))


def _check_told(plan: Plan, told: Collection[str] | None) -> None:
    if told is not None and (more := [ref for ref in plan.ends if ref not in told]):
        raise MoreWouldEnd(
            f"{', '.join(more)} would end too, which you have not confirmed. Nothing was changed.",
            hint="Review the change again.",
        )


def _record_whole(plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Record the changes of one transaction together, where there are any, and keep what everything says from now on."""
    if plan.changes:
        documents = ((change.type, change.name, change.document) for change in plan.changes)
        kept = keep_versions(documents=documents, actor=actor, now=now)
        record(
            event=Event.CATALOGUE_APPLIED, actor=actor, object_type="catalogue", object_ref="catalogue", now=now,
            data={
                "count": len(plan.changes),
                "changes": [f"{change.action} {change.type} {change.name}" for change in plan.changes[:MOST_TOLD]],
                "versions": [f"{each.number} {each.digest}" for each in kept[:MOST_TOLD]],
            },
        )  # fmt: skip


def note(
    plan: Plan, action: Action, type_: str, name: str, before: Any, after: Any, ends: Iterable[str] = ()
) -> None:
    """Add a change to the plan, with the lines in which it differs from what was before."""
    lines = difflib.unified_diff(_lines(before), _lines(after), "now", "then", lineterm="", n=2)
    plan.changes.append(Change(action, type_, name, tuple(lines), tuple(ends), after))


def _lines(data: Any) -> list[str]:
    return yaml.safe_dump(data, sort_keys=True, allow_unicode=True, width=200).splitlines() if data else []

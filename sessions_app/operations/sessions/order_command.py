"""A holder asks, on the page of a grant, that a gateway runs one of its commands."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

from django.db import connection, transaction
from django.db.models import Q

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from broker.kernel.text import recordable
from sessions_app.models import CommandOrder, Grant, GrantState
from sessions_app.operations.grants.cut_unfinished import UNFINISHED
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.holder import ByHolder, Use
from sessions_app.operations.sessions.try_command import MAX_STORED, explain
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.ssh.decide import decide, line_of, lines_for
from sessions_app.policy.commands.ssh.quoting import QuoteRefused

LAPSES = dt.timedelta(seconds=30)
# As many as an SSH connection may have at once.
AT_ONCE = 8


class LineRefused(Forbidden):
    """The line is not in the grant. It was recorded, and nothing reached the target."""

    code = "command_refused"


class TooManyOrders(Conflict):
    """As many commands of the grant run or wait already as a page may start."""

    code = "too_many_orders"


def order_command(
    *,
    grant_id: int,
    actor: Identity,
    target: str,
    index: int,
    values: Mapping[str, str],
    client_address: str = "",
    now: dt.datetime,
) -> CommandOrder:
    """Ask that a gateway runs command ``index`` of an own grant, with ``values`` for what is free at each run.

    The line is built with the command language's own quoting and decided by its own ``decide``; the gateway decides
    again. A line that is not allowed is ordered as well, so that the gateway refuses and records it as it would over
    SSH, and then raises LineRefused. Raises NotFound (not one's own), GrantIsOver, InvalidInput, TooManyOrders.
    """
    use = _use(grant_id, actor, target, now)
    decision = lines_for(use.compiled, index, values)
    line = _line(use, index, values) if isinstance(decision, Refused) else decision.line
    refused = isinstance(decision, Refused) and isinstance(decide(use.compiled, line), Refused)
    with transaction.atomic():
        _make_room(grant_id, now)
        order = CommandOrder.objects.create(
            grant_id=grant_id, target_id=use.target.id, line=recordable(line[:MAX_STORED]), asked_by=actor,
            client_address=client_address[:64], created_at=now, lapses_at=now + LAPSES,
        )  # fmt: skip
        record(
            event=Event.COMMAND_ORDERED, actor=actor_of(actor), object_type="grant", object_ref=use.grant_ref, now=now,
            data={"order": order.pk, "line": order.line, "target": use.target.name, "from": client_address},
        )  # fmt: skip
    if refused and isinstance(decision, Refused):
        raise LineRefused(
            f"Not allowed: {explain(decision)}", hint="Nothing was sent to the target. The attempt is in the log.",
            fields={name: [f"{decision.reason}."] for name in values if decision.reason.startswith((f"{name} ", f"{name}:"))},
        )  # fmt: skip
    return order


def _use(grant_id: int, actor: Identity, target: str, now: dt.datetime) -> Use:
    grant = Grant.objects.filter(pk=grant_id, holder=actor).first()
    if grant is None:
        raise NotFound("Grant not found.")
    uses = authorize_use(by=ByHolder(actor.pk, target, grant.ref, now))
    if len(uses) == 1:
        return uses[0]
    if grant.state != GrantState.ACTIVE or grant.expires_at <= now:
        raise GrantIsOver(f"{grant.ref} is not active.", hint="Request new access.")
    raise InvalidInput(
        f"{grant.ref} does not cover this target.", hint="Choose one of its targets.",
        fields={"target": ["Not in the grant."]},
    )  # fmt: skip


def _line(use: Use, index: int, values: Mapping[str, str]) -> str:
    """Return a line that is not allowed, as a person would have typed it. Raises InvalidInput when nobody could."""
    try:
        line = line_of(use.compiled, index, values)
    except QuoteRefused as error:
        odd = [name for name, value in values.items() if re.search("[\r\n\0]", value)]
        raise InvalidInput(
            "A value contains a line break or a NUL character.", hint="Type it again.", fields={name: ["Contains one."] for name in odd}
        ) from error  # fmt: skip
    if line is None:
        raise InvalidInput(
            "A value is missing, or the command is not in the grant.", hint="Fill in every field.",
            fields={name: ["Is missing."] for name, value in values.items() if not value},
        )  # fmt: skip
    return line


def _make_room(grant_id: int, now: dt.datetime) -> None:
    """Raise TooManyOrders when no more may be ordered now. Locks orders of the grant until the transaction is over."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('stint_order', %s))", [grant_id])
    waiting = Q(claimed_at__isnull=True, lapses_at__gt=now) | Q(run__state__in=UNFINISHED)
    if CommandOrder.objects.filter(waiting, grant_id=grant_id).count() >= AT_ONCE:
        raise TooManyOrders(
            f"{AT_ONCE} commands from this page are already running or waiting.",
            hint="Wait for one of them to finish.",
        )

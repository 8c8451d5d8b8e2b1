"""Order a gateway to run one command of a grant, from the grant's page."""

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
from broker.kernel.crypto import place_of, seal
from broker.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from broker.kernel.text import MAX_STORED, recordable
from sessions_app.models import CommandOrder, Grant
from sessions_app.operations.grants.cut_unfinished import UNFINISHED
from sessions_app.operations.grants.issue_http_token import check_usable
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.proofs.page import uses_from_page
from sessions_app.operations.sessions.try_command import explain
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.argv.quoting import QuoteRefused
from sessions_app.policy.commands.kind import Forms
from sessions_app.policy.commands.kinds import decide, forms_of
from sessions_app.queries.grants.secret_values import secret_digests

LAPSES = dt.timedelta(seconds=30)
# The same limit as for one SSH connection.
AT_ONCE = 8


class LineRefused(Forbidden):
    """The grant does not allow the command. The attempt is recorded, and nothing reached the target."""

    code = "command_refused"


class TooManyOrders(Conflict):
    """The grant already has the maximum number of commands that were started on its page and are running or
    waiting. Wait for one to finish.
    """

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
    """Order a gateway to run command ``index`` of one of the actor's grants, with ``values`` for the
    command's free parameters.

    The command language quotes and checks the line, and the gateway checks it again. A line that is not
    allowed is also ordered, so that the gateway refuses and records it like any other; then LineRefused is
    raised. Secret values are stored encrypted until the gateway claims the order. Also raises NotFound (not
    the actor's grant), GrantIsOver, InvalidInput, TooManyOrders.
    """
    use, forms = use_on_page(grant_id, actor, target, now)
    decision = forms.lines_for(use.compiled, index, values)
    line, shown = _lines(use, forms, decision, index, values)
    check_length(values, line, shown)
    refused = isinstance(decision, Refused) and isinstance(decide(use.compiled, line), Refused)
    with transaction.atomic():
        make_room(grant_id, now)
        order = CommandOrder(
            grant_id=grant_id,
            target_id=use.target.id,
            line=recordable(shown),
            asked_by=actor,
            client_address=client_address[:64],
            created_at=now,
            lapses_at=now + LAPSES,
        )
        if shown != line:
            order.sealed_line = seal(line.encode(errors="replace"), place=place_of(order, "sealed_line"))
        order.save(force_insert=True)
        record(
            event=Event.COMMAND_ORDERED,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=use.grant_ref,
            now=now,
            data={"order": order.pk, "line": order.line, "target": use.target.name, "from": client_address},
        )
    if refused and isinstance(decision, Refused):
        raise LineRefused(
            f"Not allowed: {explain(decision)}",
            hint="Nothing was sent to the target. The attempt was recorded.",
            fields={decision.value: [f"{decision.reason}."]} if decision.value else None,
        )
    return order


def use_on_page(grant_id: int, actor: Identity, target: str, now: dt.datetime) -> tuple[AnyUse, Forms]:
    """Return the use of the actor's grant on a target, and the forms of its kind.

    Raises NotFound, GrantIsOver and InvalidInput.
    """
    grant = Grant.objects.select_related("cluster").filter(pk=grant_id, holder=actor).first()
    if grant is None:
        raise NotFound("Grant not found.")
    uses = uses_from_page(
        holder_id=actor.pk, kind=grant.cluster.kind, target=target, grant_ref=grant.ref, now=now
    )
    forms = forms_of(uses[0].compiled) if len(uses) == 1 else None
    if forms is not None:
        return uses[0], forms
    check_usable(grant, now)
    raise InvalidInput(
        f"{grant.ref} does not cover this target.",
        hint="Choose one of the grant's targets.",
        fields={"target": ["Not in the grant."]},
    )


def _lines(
    use: AnyUse, forms: Forms, decision: Allowed | Refused, index: int, values: Mapping[str, str]
) -> tuple[str, str]:
    """Return the line to run, and its recorded form, which has digests in place of secret values.

    Raises InvalidInput if the line could not be typed.
    """
    hides = forms.hides(use.compiled)
    if isinstance(decision, Allowed) and not hides:
        return decision.line, decision.line
    line = line_typed(use, forms, decision, index, values)
    return line, forms.recorded(use.compiled, line, secret_digests(use.mark)) if hides else line


def line_typed(
    use: AnyUse, forms: Forms, decision: Allowed | Refused, index: int, values: Mapping[str, str]
) -> str:
    """Return the line as a person would have typed it, even if it is not allowed. Raises InvalidInput."""
    try:
        line = forms.line_of(use.compiled, index, values)
    except QuoteRefused as error:
        odd = [name for name, value in values.items() if re.search("[\r\n\0]", value)]
        raise InvalidInput(
            "A value contains a line break or a NUL character.",
            hint="Type the value again.",
            fields={name: ["Contains a line break or a NUL character."] for name in odd},
        ) from error
    if line is None:
        if isinstance(decision, Refused) and decision.value:
            at = decision.value
            raise InvalidInput(f"{decision.reason}.", fields={at: [f"{decision.reason}."]})
        raise InvalidInput("The grant does not have this command.", hint="Choose a listed one.")
    return line


def check_length(values: Mapping[str, str], *lines: str) -> None:
    """Raise InvalidInput if a line is too long to store in full, because the gateway runs the stored line."""
    if max(map(len, lines)) > MAX_STORED:
        says = f"The command is longer than {MAX_STORED} characters."
        longest = max(values, key=lambda name: len(values[name]), default="line")
        raise InvalidInput(
            says, hint="Shorten its values, or run the command from a terminal.", fields={longest: [says]}
        )


def make_room(grant_id: int, now: dt.datetime) -> None:
    """Raise TooManyOrders if no more commands can be ordered now.

    Orders of the grant are locked until the end of the transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('stint_order', %s))", [grant_id])
    waiting = Q(claimed_at__isnull=True, lapses_at__gt=now) | Q(run__state__in=UNFINISHED)
    if CommandOrder.objects.filter(waiting, grant_id=grant_id).count() >= AT_ONCE:
        raise TooManyOrders(
            f"{AT_ONCE} commands from this page are already running or waiting.",
            hint="Wait for one of them to finish.",
        )

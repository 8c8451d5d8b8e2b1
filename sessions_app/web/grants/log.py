"""The log of a grant: every attempted command, and queued commands that did not run."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.template.defaultfilters import filesizeformat

from accounts.models import Identity, answers_for
from sessions_app.models import (
    CommandRun,
    Grant,
    GrantState,
    Observed,
    RunState,
)
from sessions_app.operations.notifications.notify import notified_first
from sessions_app.policy.commands.ssh.transfers import is_transfer
from sessions_app.policy.policies import HoldAnswers
from sessions_app.queries.gateways.watches import watchable
from sessions_app.queries.grants.held_commits import HeldStatement, readable_commits
from sessions_app.queries.grants.held_files import HeldUpload, readable_uploads
from sessions_app.queries.grants.observing import observed_under
from sessions_app.queries.grants.runs import COUNTED, DECIDABLE, FILTERS, KINDS, SIZE, runs_of
from sessions_app.queries.requests.deciders import deciders_in
from sessions_app.queries.requests.facts import readable_document
from sessions_app.web.display import states as words
from sessions_app.web.display.results import is_result
from sessions_app.web.display.states import Look, took
from sessions_app.web.grants.askable import askable_sets, request_query
from sessions_app.web.grants.queued import OrderEntry, order_entry, recent_orders
from sessions_app.web.grants.runnable import runs_by_gateway
from sessions_app.web.layout.pagination import Page, page_from
from sessions_app.web.templatetags.stint import some_of
from sessions_app.web.templatetags.times import say_rough

EMPTY = {
    "ssh": (
        "No commands yet",
        "Every attempted command shows up here immediately: allowed, held or refused.",
    ),
    "http": (
        "No requests yet",
        "Refused requests show up here immediately, and allowed ones within a second.",
    ),
    "kubernetes": (
        "No requests yet",
        (
            "Commands show up here immediately: allowed, held or refused. kubectl's own reads are counted"
            " together."
        ),
    ),
    "mcp": ("No calls yet", "Every tool call shows up here immediately: allowed, held or refused."),
    "postgres": (
        "No statements yet",
        "Every attempted statement shows up here immediately: allowed, held or refused.",
    ),
}
# Shown, by kind of cluster, if nothing was attempted before the end.
EMPTY_AT_END = {
    "mcp": ("No calls", "No tool call was attempted before access ended."),
    "http": ("No requests", "No request was made before access ended."),
    "kubernetes": ("No requests", "No request was made before access ended."),
    "ssh": ("No commands", "No command was attempted before access ended."),
    "postgres": ("No statements", "No statement was attempted before access ended."),
}
PARTLY = (
    "Nothing observed",
    "Commands run directly on the target. Only what the target reports shows up here.",
)
UNOBSERVED = (
    "Commands are not observed",
    "Commands run directly on the target, which doesn't report them to Stint.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The query of the page. If ``opened`` is 0, no output is shown. If it is None, holders see the output of
    their running command.
    """

    show: str = ""
    before: str = ""
    opened: int | None = None
    order: int | None = None


@dataclass(frozen=True, slots=True)
class RunEntry:
    """An attempted command. ``open``: its output is shown. ``ask`` is the query of the form that requests it.
    ``answers``, ``statements`` (held at their COMMIT) and ``file`` (a held upload) are for those who decide.
    ``transfer`` is the order of a transfer whose page the reader can open.
    """

    run: CommandRun
    open: bool
    may_decide: bool
    answers: HoldAnswers | None
    may_withdraw: bool
    ask: str
    watch: bool
    look: Look
    by_gateway: bool
    watchers: Sequence[str]
    now: dt.datetime
    statements: Sequence[HeldStatement] = ()
    file: HeldUpload | None = None
    transfer: int | None = None

    @property
    def under_way(self) -> bool:
        """Whether the command is running or about to run."""
        return self.run.state in (RunState.RUNNING, RunState.ALLOWED)

    @property
    def running(self) -> bool:
        """Whether the command is running."""
        return self.run.state == RunState.RUNNING

    @property
    def shows_output(self) -> bool:
        """Whether the command's output can be opened: it was recorded or is being recorded."""
        return self.replays or (self.running and self.by_gateway)

    @property
    def replays(self) -> bool:
        """Whether the reader can replay the recording. Without output, there is nothing to replay."""
        return self.watch and (bool(self.run.output_bytes or self.under_way) or self.run.rows is not None)

    @property
    def watchable(self) -> bool:
        """Whether the command's output can be watched live, now or once another person allows it."""
        return watchable(self.run) or (self.by_gateway and self.run.may_yet_run(self.now))

    @property
    def output_url(self) -> str:
        """The address that opens or closes the output."""
        return "?open=0" if self.open else f"?open={self.run.pk}"

    @property
    def output_word(self) -> str:
        """The text of the link that opens or closes the output."""
        if self.open:
            return "close"
        if self.run.rows is not None:
            return "result" if is_result(self.run) else "conversation"
        return f"output, {filesizeformat(self.run.output_bytes)}" if self.run.recording else "output"

    @property
    def waits_until(self) -> dt.datetime | None:
        """When the hold expires; None if the command isn't waiting for a second person."""
        return self.run.hold_lapses_at if self.run.waits(self.now) else None

    @property
    def result(self) -> str:
        """The result, as text to show after the state."""
        run = self.run
        if run.state == RunState.RUNNING:
            return f" for {say_rough(_seconds(run.started_at, self.now))}"
        if run.state == RunState.REFUSED:
            return f": {run.reason}{'' if run.reason.endswith('.') else '.'} Nothing reached the target."
        if run.state == RunState.HELD and run.decided_at and self.look.tone == "warn":
            return f", allowed {run.how_often} by {run.decided_by}"
        if run.state == RunState.HOLD_DENIED:
            return f": {run.decided_by or run.reason}"
        if run.state == RunState.DONE:
            return f"{_exit(run)}, {took(run)}"
        if run.state == RunState.HOLD_WITHDRAWN:
            return " by the holder"
        cut_short = run.state in (RunState.CUT, RunState.FAILED) and run.reason
        return f": {run.reason}" if cut_short else ""


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of entries of each kind. ``more`` means that only the latest entries were counted."""

    by_kind: dict[str, int]
    more: bool

    def __getitem__(self, kind: str) -> str:
        """Return a count for display: `41`, or `1,000+`."""
        count = min(self.by_kind[kind], COUNTED)
        return f"{count:,}+" if self.more else f"{count:,}"

    @property
    def any(self) -> bool:
        """Whether there are any entries."""
        return self.by_kind["all"] > 0


@dataclass(frozen=True, slots=True)
class Log:
    """One page of the log, latest first. ``told`` lists the people who were notified first about currently
    held commands.
    """

    entries: Sequence[RunEntry]
    orders: Sequence[OrderEntry]
    counts: Counts
    before: int | None
    newer: bool
    show: str
    asked: Asked
    told: Sequence[Identity]
    kind: str
    observed: str
    ended: bool

    @property
    def opened(self) -> CommandRun | None:
        """The run whose output is shown."""
        return next((entry.run for entry in self.entries if entry.open), None)

    @property
    def filtered(self) -> bool:
        """Whether the log has or may get entries to filter."""
        return self.counts.any or self.observed == Observed.ALL

    @property
    def empty(self) -> tuple[str, str]:
        """The title and text of an empty log."""
        if self.counts.any:
            return "Nothing matches this filter", "Choose another filter to see more commands."
        texts = EMPTY_AT_END if self.ended else EMPTY
        seen = texts.get(self.kind) if self.observed == Observed.ALL else None
        return seen or (PARTLY if self.observed == Observed.SOME else UNOBSERVED)

    @property
    def notified(self) -> str:
        """The people notified first about currently held commands; empty if no command is held."""
        return f". Notified {some_of(self.told)}" if self.told else ""

    @property
    def query(self) -> str:
        """The query string of the filter, to append to the addresses of single entries."""
        return f"&show={self.show}" if self.show else ""

    @property
    def filters(self) -> list[tuple[str, str, str]]:
        """The filters: the value in the address, the label and the number of entries."""
        words = (("", "All"), ("held", "Held"), ("refused", "Refused"), ("changes", "Changes"))
        return [(name, word, self.counts[name or "all"]) for name, word in words]


def log_of(grant: Grant, reader: Identity, now: dt.datetime, asked: Asked) -> Log:
    """Return a page of a grant's log for a reader. Call this within one database snapshot, so that rows and
    counts agree.
    """
    show = asked.show if asked.show in FILTERS else ""
    orders = recent_orders(grant, now, asked.order)
    runs = functools.partial(runs_of(show), reader, now, grant=grant.pk)
    page = page_from(lambda limit: runs(below=limit), key="pk", before=asked.before, size=SIZE)
    for run in page.rows:
        run.grant = grant
    own = answers_for(reader, grant.holder)
    # The output of statements is not recorded while they run.
    live = own and grant.cluster.kind != "postgres"
    opened = _opened(asked, page, {order.pk: order.run_id for order in orders}, own=live)
    return Log(
        entries=_entries(page.rows, grant, reader, now, opened),
        orders=[order_entry(order, now) for order in orders if order.run_id is None and not page.newer],
        counts=_counts(grant, reader, now),
        before=page.before,
        newer=page.newer,
        show=show,
        asked=asked,
        kind=grant.cluster.kind,
        observed=observed_under(grant),
        ended=grant.state in (GrantState.REVOKING, GrantState.ENDED),
        told=_told(grant) if any(run.waits(now) for run in page.rows) else [],
    )


def _told(grant: Grant) -> list[Identity]:
    document = readable_document(grant.policy)
    people = deciders_in(grant) if document else []
    return sorted(notified_first(people, document), key=str) if document else []


def _opened(asked: Asked, page: Page[CommandRun], runs: Mapping[int, int | None], *, own: bool) -> int | None:
    """Return the run whose output is shown: the requested run, the run of the requested order, or the
    holder's latest running command. ``runs`` maps orders to their runs.
    """
    if asked.opened is not None:
        return asked.opened
    if asked.order is not None:
        return runs.get(asked.order)
    return next((run.pk for run in page.rows if own and run.state == RunState.RUNNING), None)


def _entries(
    runs: Sequence[CommandRun], grant: Grant, reader: Identity, now: dt.datetime, opened: int | None
) -> list[RunEntry]:
    held = [run.pk for run in runs if run.state == RunState.HELD]
    own = answers_for(reader, grant.holder)
    # No one decides on their own access, so its page needs no query.
    decidable = {run.pk for run in DECIDABLE(reader, now, held=held)} if held and not own else set()
    sets = askable_sets(reader, grant) if reader.pk == grant.holder_id else None
    by_gateway = runs_by_gateway(grant)
    commits = readable_commits(reader, grant, runs)
    files = readable_uploads(reader, grant, runs, now)
    answers = getattr(readable_document(grant.policy), "answers", None) if decidable and not commits else None
    return [
        RunEntry(
            run=run,
            open=run.pk == opened,
            may_decide=run.pk in decidable,
            answers=answers if run.pk in decidable and not run.over_budget else None,
            may_withdraw=own and run.waits(now),
            ask=request_query(run, grant, sets) if sets is not None and run.state == RunState.REFUSED else "",
            watch=bool(run.recording),
            look=words.run_look(run, now),
            by_gateway=by_gateway or hasattr(run, "order"),
            watchers=list(dict.fromkeys(getattr(run, "watched_by", ()))),
            now=now,
            statements=commits.get(run.pk, ()),
            file=files.get(run.pk),
            transfer=_transfer(run) if reader.pk == grant.holder_id else None,
        )
        for run in runs
    ]


def _transfer(run: CommandRun) -> int | None:
    """Return the order of a transfer that was started on the page."""
    order = getattr(run, "order", None)
    return order.pk if order is not None and is_transfer(tuple(run.argv)) else None


def entry_of(run: CommandRun, grant: Grant, reader: Identity, now: dt.datetime) -> RunEntry:
    """Return the entry of one run, as the log shows it, without its output."""
    return _entries([run], grant, reader, now, None)[0]


def _counts(grant: Grant, reader: Identity, now: dt.datetime) -> Counts:
    names = ("all", *FILTERS)
    found = next(iter(KINDS(reader, now, grant=grant.pk)), (0,) * len(names))
    counts = dict(zip(names, found, strict=True))
    return Counts(counts, more=counts["all"] > COUNTED)


def _seconds(start: dt.datetime | None, now: dt.datetime) -> int:
    return max(0, int((now - start).total_seconds())) if start else 0


def _exit(run: CommandRun) -> str:
    if run.signal:
        return f", killed by {run.signal}"
    if run.exit_status is not None:
        return f", exit {run.exit_status}"
    if run.rows is not None:
        size = f", {filesizeformat(run.output_bytes)}" if run.output_bytes else ""
        why = f", {run.reason}" if run.reason else ""
        return f": {words.plural(run.rows, 'row')}{size}{why}"
    return f": {run.reason.rstrip('.')}" if run.reason else ""


# Links to requests for access to a refused command.

"""Commands for grants: grants, end, suspend, resume, extend, log and receipt."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from .. import remaining, screen, waiting, wording
from ..errors import CliError, Exit
from ..options import ANY, CLUSTER, GRANT, CLICommand, Span, waits
from ..screen import clock_time, plain, span, spoken, word
from ..shell import Shell, pass_shell
from ..wire import patiently

Row = Mapping[str, Any]
# Seconds to wait until an end is confirmed, and seconds between two polls for new runs.
_PROOF = 30.0
_LOOK = 1.0
_OVER = frozenset({"done", "cut", "failed"})


@click.command(cls=CLICommand)
@click.option("--all", "everybody", is_flag=True, help="Include grants of other people that you can see.")
@click.option("--ended", is_flag=True, help="Include ended grants.")
@click.option(
    "--endable", is_flag=True, help="Show only grants that you can end, including those of other people."
)
@click.option("--cluster", type=CLUSTER, help="Only on this cluster.")
@click.option(
    "--most", type=click.IntRange(1, 10000), default=50, show_default=True, help="Maximum number of rows."
)
@pass_shell
def grants(shell: Shell, everybody: bool, ended: bool, endable: bool, cluster: str | None, most: int) -> None:
    """List your grants, newest first."""
    mine = not everybody and not endable
    found = shell.wire.pages("/grants", most=most, mine=mine, endable=endable, cluster=cluster)
    shown = [row for row in found if ended or row["state"] != "ended"]
    shell.rows(shown, wording.GRANTS, empty="No grants.")


@click.command(cls=CLICommand)
@click.argument("ref", type=ANY)
@click.option("--note", "-m", default="", help="Reason, for the record.")
@click.option("--kill", is_flag=True, help="Also terminate commands that are allowed to finish.")
@click.option("--no-wait", is_flag=True, help="Don't wait for the confirmation.")
@pass_shell
def end(shell: Shell, ref: str, note: str, kill: bool, no_wait: bool) -> None:
    """End a grant now: close its connections, terminate its commands and revoke access on its targets.

    Waits up to 30 s for the targets to confirm; after that, Stint continues on its own. With the reference of
    your own pending request, withdraws the request.
    """
    if ref.startswith("REQ-"):
        _withdraw(shell, ref)
        return
    row: Row = shell.wire.post(f"/grants/{ref}/end", {"note": note, "kill": kill})
    if not no_wait and row["state"] != "ended":
        row = waiting.wait_for_end(shell, ref, seconds=_PROOF)
    remaining.drop(shell, ref)
    shell.show(row, lambda: _ended(row))


def _withdraw(shell: Shell, ref: str) -> None:
    """Withdraw a pending request. If it is no longer pending, raises CliError with its outcome."""
    row: Row = shell.wire.get(f"/requests/{ref}")
    if row["grant"]:
        raise CliError(
            f"{ref} was approved as {row['grant']}.",
            f"Run `stint end {row['grant']}` to end it.",
            code="not_pending",
        )
    if row["state"] != "pending":
        raise CliError(f"{ref} {waiting.over(row)}, so there is nothing to end.", code="not_pending")
    withdrawn = shell.wire.post(f"/requests/{ref}/withdraw")
    shell.show(withdrawn, lambda: screen.say(f"{ref} withdrawn."))


def _ended(row: Row) -> None:
    if row["state"] == "ended":
        screen.say(
            f"{plain(row['ref'])} ended at {clock_time(row['ended_at'])}. Revocation confirmed on all"
            " targets."
        )
    else:
        trouble = f": {plain(row['last_error'])}" if row["last_error"] else "."
        screen.say(
            f"{plain(row['ref'])} is {word(row['state'])}: access is closed, and targets have yet to"
            f" confirm{trouble}"
        )


@click.command(cls=CLICommand)
@click.argument("ref", type=GRANT)
@click.option(
    "--reason", "-m", default="", help="Reason. The holder and approvers see it, and it is recorded."
)
@pass_shell
def suspend(shell: Shell, ref: str, reason: str) -> None:
    """Suspend a grant: nothing new can run until someone else resumes it. Running commands continue."""
    row: Row = shell.wire.post(f"/grants/{ref}/suspend", {"note": reason})
    shell.show(row, lambda: screen.say(f"{plain(row['ref'])} is suspended. Running commands continue."))


@click.command(cls=CLICommand)
@click.argument("ref", type=GRANT)
@click.option(
    "--note",
    "-m",
    default="",
    help="Why the grant can be used again. The holder sees the reason, and it is recorded.",
)
@pass_shell
def resume(shell: Shell, ref: str, note: str) -> None:
    """Resume another person's suspended grant."""
    row: Row = shell.wire.post(f"/grants/{ref}/release", {"note": note})
    shell.show(row, lambda: screen.say(f"{plain(row['ref'])} is resumed: new commands can run."))


@click.command(cls=CLICommand)
@click.argument("ref", type=GRANT)
@click.option("--for", "seconds", type=Span(), required=True, help="Additional time, such as 30m.")
@click.option("--reason", "-m", default="", help="Reason, for approvers and the record.")
@click.option("--wait", "waits_for_it", is_flag=True, help="Wait for the decision.")
@waits
@pass_shell
def extend(shell: Shell, ref: str, seconds: int, reason: str, waits_for_it: bool, wait: float | None) -> None:
    """Request an extension of one of your grants. Its sessions stay open."""
    row: Row = shell.wire.post(f"/grants/{ref}/extend", {"duration": seconds, "reason": reason})
    if waits_for_it or wait:
        row = waiting.wait_for_verdict(shell, row, seconds=wait)

    def people() -> None:
        if row["state"] == "approved":
            grant = shell.wire.get(f"/grants/{ref}")
            remaining.note(shell, grant)
            screen.say(f"{ref} ends {clock_time(grant['expires_at'])}.")
        else:
            screen.say(f"{row['ref']} is waiting for {wording.missing(row['needed'])}.")

    shell.show(row, people)


@click.command(cls=CLICommand)
@click.argument("ref", type=GRANT)
@click.option("--follow", "-f", is_flag=True, help="Print new commands until the grant has ended.")
@click.option("--output", "-o", is_flag=True, help="Include the output. Stint records that you read it.")
@click.option(
    "--most",
    type=click.IntRange(1, 10000),
    default=200,
    show_default=True,
    help="Maximum number of commands; the latest are shown.",
)
@pass_shell
def log(shell: Shell, ref: str, follow: bool, output: bool, most: int) -> None:
    """List the commands of a grant, oldest first. With --json --follow, print a line for each run and each
    change.
    """
    if follow:
        _follow(shell, ref, most, output=output)
        return
    found = shell.wire.pages(f"/grants/{ref}/runs", most=most)[::-1]
    if output and not shell.json:
        for row in found:
            _run(shell, row, output=True)
        return
    if output:
        found = [{**row, "output": _output(shell, row)} for row in found]
    observed = shell.wire.get(f"/grants/{ref}")["observed"]
    shell.show(
        {"observed": observed, "results": found},
        lambda: screen.table(found, wording.RUNS, empty=wording.NO_RUN[observed]),
    )


def _follow(shell: Shell, ref: str, most: int, *, output: bool) -> None:
    told: dict[int, str] = {}
    with screen.progress(quiet=shell.json) as line:
        while True:
            # Read in this order, so that runs just before the end are not missed.
            grant = patiently(lambda: shell.wire.get(f"/grants/{ref}"), for_seconds=300, tell=line.show)
            runs = patiently(
                lambda: shell.wire.pages(f"/grants/{ref}/runs", most=most), for_seconds=300, tell=line.show
            )
            for row in reversed(runs):
                if told.get(row["id"]) != row["state"]:
                    line.done()
                    told[row["id"]] = row["state"]
                    _run(shell, row, output=output and row["state"] in _OVER)
            if grant["state"] == "ended":
                if not told:
                    shell.note(wording.NO_RUN[grant["observed"]])
                break
            line.show(
                f"{ref} is {spoken(grant['state'])}.", counted=f"Ends {screen.ago(grant['expires_at'])}."
            )
            time.sleep(_LOOK)


def _run(shell: Shell, row: Row, *, output: bool) -> None:
    if shell.json:
        screen.say_json({**row, "output": _output(shell, row)} if output else row, lines=True)
        return
    status = "" if row["exit_status"] is None else f" ({row['exit_status']})"
    status += "" if row["rows"] is None else f" ({row['rows']} rows)"
    reason = f": {plain(row['reason'])}" if row["reason"] else ""
    when = clock_time(row["tried_at"])
    screen.say(f"{when}  {plain(row['target'])}  {word(row['state'])}{status}  {plain(row['line'])}{reason}")
    text = _output(shell, row) if output else ""
    if text:
        screen.say(screen.plain_output(text).rstrip("\n"))


def _output(shell: Shell, row: Row) -> str:
    if not row["recording_sha256"]:
        return ""
    said, following = shell.wire.text(f"/runs/{row['id']}/output")
    while following:
        more, following = shell.wire.text(following)
        said += more
    return said


@click.command(cls=CLICommand)
@click.argument("ref", type=GRANT)
@pass_shell
def receipt(shell: Shell, ref: str) -> int:
    """Show the receipt of a grant: what was approved, run and refused, and how access ended."""
    row = shell.wire.get(f"/grants/{ref}/receipt")
    shell.show(row, lambda: _receipt(row))
    return Exit.DONE


def _receipt(row: Row) -> None:
    approved, ended = row["approved"], row["ended"]
    screen.facts(
        {
            "Receipt": f"{plain(row['grant'])}  {word(row['state'])}",
            "Holder": plain(row["holder"]),
            "Approved": plain(
                f"{approved['command_set']} on {row['cluster']} ({', '.join(approved['targets'])})"
            ),
            "With": wording.parameters(approved["parameters"]),
            "Time": f"{clock_time(approved['starts_at'])} to {clock_time(approved['expires_at'])}",
            "By": plain(", ".join(one["approver"] for one in approved["by"])) or "no approval needed",
            "Reason": plain(approved["reason"]),
            "Workflow": plain(approved["workflow"] or ""),
            "Commands": "\n".join(plain(line) for line in approved["commands"]),
            "Run": "\n".join(_ran(one) for one in row["run"]) or _none_seen(row),
            "Refused": (
                "\n".join(
                    plain(f"{clock_time(one['at'])} {one['target']}: {one['command']} ({one['why']})")
                    for one in row["refused"]
                )
                or _none_seen(row)
            ),
            "Suspended": "\n".join(_suspended(one) for one in row["suspended"]),
            "Ended": _end_of(ended) if ended else "",
            "Checked": "\n".join(_checked(one) for one in row["checked"]),
        }
    )


def _none_seen(row: Row) -> str:
    return wording.NONE_SEEN[row["compared"]["observed"]]


def _ran(one: Row) -> str:
    status = "" if one["exit_status"] is None else f" ({one['exit_status']})"
    return plain(f"{clock_time(one['at'])} {one['target']}: {one['command']} {spoken(one['state'])}{status}")


def _suspended(one: Row) -> str:
    why = f"by {one['by']}{one['why'] and ': ' + one['why']}" if one["by"] else f"after {one['why']}"
    then = f"; resumed {clock_time(one['resumed_at'])} by {one['resumed_by']}" if one["resumed_at"] else ""
    return plain(f"{clock_time(one['at'])} {why}{then}")


def _end_of(ended: Row) -> str:
    by = f" by {ended['by']}" if ended["by"] else ""
    proven = f", confirmed after {span(ended['seconds'])}" if ended["proven_at"] else ", not confirmed yet"
    return plain(f"{clock_time(ended['began_at'])}: {ended['why'] or spoken(ended['reason'])}{by}{proven}")


def _checked(one: Row) -> str:
    return plain(
        f"{one['target']}:"
        f" {'revoked at ' + clock_time(one['gone_at']) if one['gone'] else 'not confirmed yet'}"
    )


COMMANDS = (grants, end, suspend, resume, extend, log, receipt)

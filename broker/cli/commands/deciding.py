"""Commands that approve and deny requests and held commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from .. import screen, wording
from ..errors import CliError, Exit, Usage
from ..options import DENIABLE, REQUEST, CLICommand, Span
from ..shell import Shell, pass_shell

Row = Mapping[str, Any]


@click.command(cls=CLICommand)
@click.option(
    "--most", type=click.IntRange(1, 10000), default=50, show_default=True, help="Maximum number of rows."
)
@pass_shell
def approvals(shell: Shell, most: int) -> None:
    """List the requests that are waiting for your approval."""
    found = shell.wire.pages("/requests", most=most, decidable=True)
    shell.rows(found, wording.REQUESTS, empty="No requests are waiting for your approval.")


@click.command(cls=CLICommand)
@click.argument("ref", type=REQUEST)
@click.option("--comment", "-m", default="", help="Comment for the requester and the record.")
@click.option("--for", "seconds", type=Span(), help="Approve for a shorter time.")
@click.option("--target", "-t", "targets", multiple=True, help="Approve only these targets.")
@click.option(
    "--command",
    "-c",
    "commands",
    type=int,
    multiple=True,
    help="Approve only these commands, by number from 0.",
)
@click.option("--digest", metavar="HEX", help="Approve only if the request still has this digest.")
@click.option("--yes", "-y", is_flag=True, help="Approve without confirmation.")
@pass_shell
def approve(shell: Shell, ref: str, comment: str, digest: str | None, yes: bool, **given: Any) -> int:
    """Approve a request exactly as shown. If it has changed since, nothing is approved.

    Without a terminal, pass --digest with the digest you read, or --yes to skip the confirmation.
    """
    row = shell.wire.get(f"/requests/{ref}")
    _check_decidable(row)
    if digest and digest != row["digest"]:
        raise CliError(f"{ref} has changed since you read it.", f"Run `stint status {ref}` to read it again.")
    if not yes and not digest:
        if not shell.asks:
            raise Usage("No terminal to confirm on.", "Use --digest with the digest you read, or --yes.")
        wording.request(row, err=True)
        if not shell.sure("Approve?", default=False):
            return Exit.INTERRUPTED
    return _decide(shell, row, "approve", comment, _narrowing(given))


def _narrowing(given: Mapping[str, Any]) -> dict[str, Any] | None:
    kept = {
        "duration": given["seconds"],
        "targets": list(given["targets"]) or None,
        "commands": list(given["commands"]) or None,
    }
    left = {name: value for name, value in kept.items() if value is not None}
    return left or None


@click.command(cls=CLICommand)
@click.argument("ref", metavar="REQUEST|RUN", type=DENIABLE)
@click.option("--comment", "-m", default="", help="Reason, for the requester and the record.")
@pass_shell
def deny(shell: Shell, ref: str, comment: str) -> int:
    """Deny a request, with a comment, or deny the held command RUN. `stint holds` lists held commands."""
    if ref.isdecimal():
        if comment:
            raise Usage("A held command is denied without a comment.", "Omit --comment.")
        return _decide_hold(shell, int(ref), {"allow": False})
    row = shell.wire.get(f"/requests/{ref}")
    _check_decidable(row)
    comment = comment or shell.ask("Comment", needs="A comment", give="--comment")
    return _decide(shell, row, "deny", comment, None)


def _check_decidable(row: Row) -> None:
    if not row["you"]["may_decide"]:
        raise CliError(f"You can't decide on {row['ref']}.", row["you"]["why_not"], code="may_not_decide")


def _decide(shell: Shell, row: Row, verdict: str, comment: str, narrowing: Mapping[str, Any] | None) -> int:
    sent = {"verdict": verdict, "digest": row["digest"], "comment": comment, "narrowing": narrowing}
    decided = shell.wire.post(f"/requests/{row['ref']}/verdicts", sent)

    def people() -> None:
        more = (
            f"; it still needs {wording.missing(decided['needed'])}" if decided["state"] == "pending" else ""
        )
        made = f"; {decided['grant']} is starting" if decided["grant"] else ""
        screen.say(f"{screen.plain(decided['ref'])} {screen.word(decided['state'])}{more}{made}.")

    shell.show(decided, people)
    return Exit.DONE


@click.command(cls=CLICommand)
@click.argument("ref", type=REQUEST)
@pass_shell
def undo(shell: Shell, ref: str) -> int:
    """Withdraw your approval of a request, within ten seconds and before the access starts."""
    row = shell.wire.delete(f"/requests/{ref}/verdicts")
    shell.show(row, lambda: screen.say(f"Approval of {screen.plain(row['ref'])} withdrawn."))
    return Exit.DONE


@click.command(cls=CLICommand)
@click.argument("run", type=int, required=False)
@pass_shell
def holds(shell: Shell, run: int | None) -> None:
    """List held commands that are waiting for approval, or show the changes of RUN's held transaction or
    upload.
    """
    if run is not None:
        row, shown = _held(shell, run)
        shell.show(row, lambda: screen.say(shown(row)))
        return
    found = shell.wire.pages("/runs", state="held")
    shell.rows(found, wording.HELD, empty="No held commands.")


def _held(shell: Shell, run: int) -> tuple[Row, Callable[[Row], str]]:
    """Return what a held transaction or upload would change, and the function that formats it."""
    try:
        return shell.wire.get(f"/runs/{run}/commit"), wording.held_commit
    except CliError as error:
        if error.status != Exit.NOT_FOUND:
            raise
    return shell.wire.get(f"/runs/{run}/file"), wording.held_file


@click.command(cls=CLICommand)
@click.argument("run", type=int)
@click.option("--times", type=click.IntRange(1, 50), default=1, help="How often it may run. Default: once.")
@pass_shell
def allow(shell: Shell, run: int, times: int) -> int:
    """Allow the held command RUN. `stint holds` lists held commands."""
    return _decide_hold(shell, run, {"allow": True, **({"times": times} if times > 1 else {})})


def _decide_hold(shell: Shell, run: int, answer: dict[str, Any]) -> int:
    row = shell.wire.post(f"/runs/{run}/decision", answer)
    shell.show(row, lambda: screen.say(f"Run {row['id']}: {screen.word(row['state'])}."))
    return Exit.DONE


COMMANDS = (approvals, approve, deny, undo, holds, allow)

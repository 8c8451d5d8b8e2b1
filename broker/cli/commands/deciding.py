"""Deciding on what others ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from .. import screen, wording
from ..errors import CliError, Exit, Usage
from ..options import REQUEST, Command, Span
from ..shell import Shell, pass_shell

Row = Mapping[str, Any]


@click.command(cls=Command)
@click.option("--most", type=click.IntRange(1, 10000), default=50, show_default=True, help="At most so many.")
@pass_shell
def approvals(shell: Shell, most: int) -> None:
    """List what waits for a verdict of yours."""
    found = shell.wire.pages("/requests", most=most, decidable=True)
    shell.rows(found, wording.REQUESTS, empty="No request waits for your verdict.")


@click.command(cls=Command)
@click.argument("ref", type=REQUEST)
@click.option("--comment", "-m", default="", help="What the requester and the record read.")
@click.option("--for", "seconds", type=Span(), help="Approve for less time.")
@click.option("--target", "-t", "targets", multiple=True, help="Approve for these targets alone.")
@click.option(
    "--command",
    "-c",
    "commands",
    type=int,
    multiple=True,
    help="Approve these commands alone, by number from 0.",
)
@click.option("--digest", metavar="HEX", help="Approve only if it is still what has this digest.")
@click.option("--yes", "-y", is_flag=True, help="Approve what it is now, without a question.")
@pass_shell
def approve(shell: Shell, ref: str, comment: str, digest: str | None, yes: bool, **given: Any) -> int:
    """Approve a request, exactly as it is shown; if it changes meanwhile, nothing is approved.

    Without a terminal, --digest says what was read, or --yes that it need not be.
    """
    row = shell.wire.get(f"/requests/{ref}")
    _check_decidable(row)
    if digest and digest != row["digest"]:
        raise CliError(
            f"{ref} is not what you read any more.", "Look at it again: `stint status " + ref + "`."
        )
    if not yes and not digest:
        if not shell.asks:
            raise Usage("Nobody is there to read it.", "Give --digest of what was read, or --yes.")
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


@click.command(cls=Command)
@click.argument("ref", type=REQUEST)
@click.option("--comment", "-m", default="", help="Why; the requester and the record read it.")
@pass_shell
def deny(shell: Shell, ref: str, comment: str) -> int:
    """Deny a request. It needs a comment."""
    row = shell.wire.get(f"/requests/{ref}")
    _check_decidable(row)
    comment = comment or shell.ask("Why", give="--comment")
    return _decide(shell, row, "deny", comment, None)


def _check_decidable(row: Row) -> None:
    if not row["you"]["may_decide"]:
        raise CliError(f"You can't decide on {row['ref']}.", row["you"]["why_not"], code="may_not_decide")


def _decide(shell: Shell, row: Row, verdict: str, comment: str, narrowing: Mapping[str, Any] | None) -> int:
    sent = {"verdict": verdict, "digest": row["digest"], "comment": comment, "narrowing": narrowing}
    decided = shell.wire.post(f"/requests/{row['ref']}/verdicts", sent)

    def people() -> None:
        more = f"; still needs {wording.missing(decided['needed'])}" if decided["state"] == "pending" else ""
        made = f"; {decided['grant']} starts" if decided["grant"] else ""
        screen.say(f"{screen.plain(decided['ref'])} {screen.word(decided['state'])}{more}{made}.")

    shell.show(decided, people)
    return Exit.DONE


@click.command(cls=Command)
@pass_shell
def holds(shell: Shell) -> None:
    """List commands that wait for a second person."""
    found = shell.wire.pages("/runs", state="held")
    shell.rows(found, wording.HELD, empty="No command waits.")


@click.command(cls=Command)
@click.argument("run", type=int)
@pass_shell
def allow(shell: Shell, run: int) -> None:
    """Let the held command RUN go on, this once; `stint holds` lists them."""
    _decide_hold(shell, run, allow=True)


@click.command(cls=Command)
@click.argument("run", type=int)
@pass_shell
def refuse(shell: Shell, run: int) -> None:
    """Refuse the held command RUN."""
    _decide_hold(shell, run, allow=False)


def _decide_hold(shell: Shell, run: int, *, allow: bool) -> None:
    row = shell.wire.post(f"/runs/{run}/decision", {"allow": allow})
    shell.show(row, lambda: screen.say(f"Run {row['id']} is {screen.word(row['state'])}."))


COMMANDS = (approvals, approve, deny, holds, allow, refuse)

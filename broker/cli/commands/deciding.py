"""Commands that approve and deny requests and held commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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


_ALIKE = click.option(
    "--alike", is_flag=True, help="Also the commands that wait alike, after you confirm the list."
)
_SURE = click.option("--yes", "-y", is_flag=True, help="Don't ask to confirm the list of --alike.")


@click.command(cls=CLICommand)
@click.argument("refs", metavar="REQUEST|RUN...", type=DENIABLE, nargs=-1, required=True)
@click.option("--comment", "-m", default="", help="Reason, for the requester and the record.")
@_ALIKE
@_SURE
@pass_shell
def deny(shell: Shell, refs: tuple[str, ...], comment: str, alike: bool, yes: bool) -> int:
    """Deny a request, with a comment, or deny the held commands RUN. `stint holds` lists held commands."""
    if all(ref.isdecimal() for ref in refs):
        if comment:
            raise Usage("A held command is denied without a comment.", "Omit --comment.")
        return _decide_holds(shell, [int(ref) for ref in refs], {"allow": False}, alike=alike, yes=yes)
    if len(refs) > 1 or alike:
        raise Usage("Only held commands can be denied together.", "Deny requests one by one.")
    row = shell.wire.get(f"/requests/{refs[0]}")
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
    upload, and what was read before RUN.
    """
    if run is not None:
        found = list(_parts(shell, run))
        if not found:
            raise CliError(f"Nothing more is known about run {run}.", "`stint holds` lists held commands.")
        document = {name: value for row, _ in found for name, value in row.items()}
        shell.show(document, lambda: screen.say("\n\n".join(shown(row) for row, shown in found)))
        return
    rows = shell.wire.pages("/runs", state="held")
    shell.rows(rows, wording.HELD, empty="No held commands.")


def _parts(shell: Shell, run: int) -> Iterator[tuple[Row, Callable[[Row], str]]]:
    """Yield what a held transaction or upload would change and what was read before it, as far as that is
    known, each with the function that formats it.
    """
    changes = (("commit", wording.held_commit), ("file", wording.held_file))
    for name, shown in changes:
        if row := _part(shell, run, name):
            yield row, shown
            break
    if row := _part(shell, run, "earlier"):
        yield row, wording.read_before


def _part(shell: Shell, run: int, name: str) -> Row | None:
    try:
        row: Row = shell.wire.get(f"/runs/{run}/{name}")
    except CliError as error:
        if error.status != Exit.NOT_FOUND:
            raise
        return None
    return row


@click.command(cls=CLICommand)
@click.argument("runs", metavar="RUN...", type=int, nargs=-1, required=True)
@click.option("--times", type=click.IntRange(1, 50), default=1, help="How often each may run. Default: once.")
@_ALIKE
@_SURE
@pass_shell
def allow(shell: Shell, runs: tuple[int, ...], times: int, alike: bool, yes: bool) -> int:
    """Allow the held commands RUN. `stint holds` lists held commands."""
    answer = {"allow": True, **({"times": times} if times > 1 else {})}
    return _decide_holds(shell, runs, answer, alike=alike, yes=yes)


def _decide_holds(
    shell: Shell, runs: Sequence[int], answer: dict[str, Any], *, alike: bool, yes: bool
) -> int:
    if len(set(runs)) == 1 and not alike:
        row = shell.wire.post(f"/runs/{runs[0]}/decision", answer)
        shell.show(row, lambda: screen.say(f"Run {row['id']}: {screen.word(row['state'])}."))
        return Exit.DONE
    rows = _waiting(shell, runs, alike=alike)
    if alike and not yes and not _confirmed(shell, rows, "Allow" if answer["allow"] else "Deny"):
        return Exit.INTERRUPTED
    read = [{"run": row["id"], "digest": row["digest"]} for row in rows]
    decided = shell.wire.post("/holds/decision", {**answer, "holds": read})
    shell.show(decided, lambda: screen.say("\n".join(map(wording.hold_outcome, decided["results"]))))
    return Exit.DONE if decided["decided"] == len(rows) else Exit.REFUSED


def _waiting(shell: Shell, runs: Sequence[int], *, alike: bool) -> list[Row]:
    """Return the held commands with these numbers, with ``alike`` also those that wait alike. Raises
    CliError.
    """
    found = {row["id"]: row for row in shell.wire.get("/holds")["results"]}
    for run in runs:
        if run not in found:
            raise CliError(
                f"Run {run} doesn't wait for your decision.", "Run `stint holds` to list what waits."
            )
    more = [other for run in runs for other in found[run]["alike"]] if alike else []
    return [found[run] for run in dict.fromkeys([*runs, *more])]


def _confirmed(shell: Shell, rows: Sequence[Row], act: str) -> bool:
    if not shell.asks:
        raise Usage("No terminal to confirm on.", "Use the numbers of the runs without --alike, or --yes.")
    for row in rows:
        screen.say(wording.held_line(row), err=True)
    return shell.sure(
        f"{act} {'this command' if len(rows) == 1 else f'these {len(rows)} commands'}?", default=False
    )


COMMANDS = (approvals, approve, deny, undo, holds, allow)

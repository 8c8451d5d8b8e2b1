"""Commands that request access and follow requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from .. import granting, remaining, screen, waiting, wording
from ..errors import Exit
from ..options import ANY, CLUSTER, REQUEST, SET, TARGET, CLICommand, Moment, about_asking, waits
from ..shell import Shell, pass_shell

Row = Mapping[str, Any]


@click.command(cls=CLICommand)
@click.argument("cluster", type=CLUSTER)
@click.argument("command_set", metavar="SET", type=SET)
@about_asking
@click.option(
    "--target", "-t", "targets", type=TARGET, multiple=True, help="Request only this target; can be repeated."
)
@click.option(
    "--at",
    "starts_at",
    type=Moment(),
    help="Start time, such as 22:00 or 2026-11-28T22:00. Default: on approval.",
)
@click.option("--policy", metavar="NAME", help="Policy. Default: the one that needs the fewest approvals.")
@click.option("--dry-run", is_flag=True, help="Show the result without submitting.")
@click.option("--yes", "-y", is_flag=True, help="Submit without confirmation.")
@click.option("--wait", "waits_for_it", is_flag=True, help="Wait until the grant is active.")
@waits
@pass_shell
def request(shell: Shell, cluster: str, command_set: str, **given: Any) -> int:
    """Request the command set SET on CLUSTER.

    Shows the commands, the time and the required approvals before it submits. With --wait, waits until the
    grant is active, and exits with status 5 if the wait times out or the request is not approved.

    \b
      stint request web restart-web --for 1h -m "Nightly restart" -p unit=nginx --wait
      stint request shop-db read-orders --workflow INC-12 --dry-run
    """
    body = _body(cluster, command_set, given)
    preview = shell.wire.post("/requests/preview", body)
    if given["dry_run"]:
        shell.show(preview, lambda: wording.preview(preview))
        return Exit.REFUSED if preview["outcome"] == "refused" else Exit.DONE
    granting.refuse_if_refused(preview)
    if not shell.json:
        wording.preview(preview, err=True)
    if not given["yes"] and not shell.sure("Submit this request?"):
        return Exit.INTERRUPTED
    asked = shell.wire.post("/requests", body)
    if given["waits_for_it"] or given["wait"]:
        shell.note(f"{asked['ref']} submitted.")
        grant = waiting.wait_for_grant(shell, asked, seconds=given["wait"])
        remaining.note(shell, grant)
        shell.show(grant, lambda: wording.grant(grant))
    else:
        shell.show(asked, lambda: _asked(asked))
    return Exit.DONE


def _body(cluster: str, command_set: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return granting.body_of(
        cluster=cluster,
        command_set=command_set,
        duration=given["seconds"] or granting.USUAL,
        reason=given["reason"],
        ticket=given["ticket"],
        parameters=dict(given["parameters"]),
        targets=list(given["targets"]) or None,
        starts_at=given["starts_at"],
        policy=given["policy"],
        workflow=given["workflow"],
        kind=given["kind"] or "",
    )


def _asked(row: Row) -> None:
    if row["grant"]:
        screen.say(f"{row['ref']} approved; {row['grant']} is starting.")
    else:
        screen.say(f"{row['ref']} is waiting for {wording.missing(row['needed'])}.")
        screen.say(f"Run `stint status {row['ref']} --watch` to wait for the decision.", err=True)


@click.command(cls=CLICommand)
@click.argument("ref", type=ANY, required=False)
@click.option(
    "--watch", is_flag=True, help="Follow a request until its grant is active, or a grant until it ends."
)
@waits
@pass_shell
def status(shell: Shell, ref: str | None, watch: bool, wait: float | None) -> int:
    """Show the status of a request or grant. Without REF, show your grants, your requests and your pending
    approvals.

    With --watch, exits with status 0 when the grant is active, and 5 if the wait times out or the request is
    not approved. With --watch and --json, prints one JSON line for each change.
    """
    if ref is None:
        return _overview(shell)
    path = f"/grants/{ref}" if ref.startswith("GR-") else f"/requests/{ref}"
    row = shell.wire.get(path)
    if watch:
        return _watch(shell, row, wait)
    shell.show(row, lambda: wording.grant(row) if ref.startswith("GR-") else wording.request(row))
    return Exit.DONE


def _watch(shell: Shell, row: Row, wait: float | None) -> int:
    def seen(now: Row) -> None:
        if shell.json:
            screen.say_json(now, lines=True)
        else:
            screen.say(f"{screen.plain(now['ref'])} {screen.word(now['state'])}")

    ref = str(row["ref"])
    if ref.startswith("REQ-"):
        waiting.wait_for_grant(shell, row, seconds=wait, seen=seen)
        return Exit.DONE
    ended = waiting.wait_for_end(shell, ref, seconds=wait, seen=seen)
    return Exit.DONE if ended["state"] == "ended" else Exit.NO_GRANT


def _overview(shell: Shell) -> int:
    wire = shell.wire
    held = [row for row in wire.pages("/grants", mine=True) if row["state"] != "ended"]
    remaining.note_all(shell, held)
    asked = wire.pages("/requests", mine=True, state="pending")
    decidable = wire.pages("/requests", decidable=True)

    def people() -> None:
        if held:
            screen.table(held, wording.GRANTS, empty="")
        else:
            screen.say("You have no active access.")
        for title, rows in (("Requested", asked), ("Waiting for your approval", decidable)):
            if rows:
                screen.say(f"\n{screen.strong(title)}")
                screen.table(rows, wording.REQUESTS, empty="")

    shell.show({"grants": held, "requests": asked, "approvals": decidable}, people)
    return Exit.DONE


@click.command(cls=CLICommand)
@click.option("--all", "everybody", is_flag=True, help="Include requests of other people that you can see.")
@click.option("--state", type=click.Choice(["pending", "approved", "denied", "withdrawn", "lapsed"]))
@click.option("--cluster", type=CLUSTER, help="Only on this cluster.")
@click.option(
    "--most", type=click.IntRange(1, 10000), default=50, show_default=True, help="Maximum number of rows."
)
@pass_shell
def requests(shell: Shell, everybody: bool, state: str | None, cluster: str | None, most: int) -> None:
    """List your requests, newest first."""
    found = shell.wire.pages("/requests", most=most, mine=not everybody, state=state, cluster=cluster)
    shell.rows(found, wording.REQUESTS, empty="No requests.")


@click.command(cls=CLICommand)
@click.option("--cluster", type=CLUSTER, help="Only on this cluster.")
@click.option("--target", "-t", type=TARGET, help="Only on this target.")
@click.argument("words", metavar="[-- COMMAND]", nargs=-1)
@pass_shell
def offers(shell: Shell, cluster: str | None, target: str | None, words: tuple[str, ...]) -> None:
    """List the access you can request, fewest approvals first. With COMMAND, list only access that allows it.

    \b
      stint offers --target web-1 -- systemctl restart nginx
    """
    sent = {"cluster": cluster, "target": target, "line": granting.line_of(words)}
    found = shell.wire.post("/requests/offers", sent)["results"]
    shell.rows(found, wording.OFFERS, empty="You can't request any access.")


@click.command(cls=CLICommand)
@click.argument("ref", type=REQUEST)
@pass_shell
def withdraw(shell: Shell, ref: str) -> None:
    """Withdraw one of your requests."""
    row = shell.wire.post(f"/requests/{ref}/withdraw")
    shell.show(row, lambda: screen.say(f"{row['ref']} withdrawn."))


COMMANDS = (request, status, requests, offers, withdraw)

"""Asking, and following what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from .. import granting, screen, waiting, wording
from ..errors import Exit
from ..options import ANY, CLUSTER, REQUEST, SET, TARGET, Command, Moment, about_asking, waits
from ..shell import Shell, pass_shell

Row = Mapping[str, Any]


@click.command(cls=Command)
@click.argument("cluster", type=CLUSTER)
@click.argument("command_set", metavar="SET", type=SET)
@about_asking
@click.option(
    "--target", "-t", "targets", type=TARGET, multiple=True, help="Only this target; may be repeated."
)
@click.option(
    "--at",
    "starts_at",
    type=Moment(),
    help="From when on: 22:00, 2026-11-28T22:00. Default: from the approval.",
)
@click.option(
    "--policy", metavar="NAME", help="Under this policy. Default: the one that asks least of others."
)
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--yes", "-y", is_flag=True, help="Ask without a last question.")
@click.option("--wait", "waits_for_it", is_flag=True, help="Wait until the grant can be used.")
@waits
@pass_shell
def request(shell: Shell, cluster: str, command_set: str, **given: Any) -> int:
    """Ask for the command set SET on CLUSTER.

    Says first what would happen, with the commands, the time and who has to approve. With --wait it goes on when the
    grant can be used, and ends with status 5 when there won't be one.

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
    if not given["yes"] and not shell.sure("Ask for this?"):
        return Exit.INTERRUPTED
    asked = shell.wire.post("/requests", body)
    if given["waits_for_it"] or given["wait"]:
        shell.note(f"{asked['ref']} is asked.")
        grant = waiting.wait_for_grant(shell, asked, seconds=given["wait"])
        shell.show(grant, lambda: wording.grant(grant))
    else:
        shell.show(asked, lambda: _asked(asked))
    return Exit.DONE


def _body(cluster: str, command_set: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return granting.body_of(
        cluster=cluster, command_set=command_set, duration=given["seconds"] or granting.USUAL, reason=given["reason"],
        ticket=given["ticket"], parameters=dict(given["parameters"]), targets=list(given["targets"]) or None,
        starts_at=given["starts_at"], policy=given["policy"], workflow=given["workflow"], kind=given["kind"] or "",
    )  # fmt: skip


def _asked(row: Row) -> None:
    if row["grant"]:
        screen.say(f"{row['ref']} is approved; {row['grant']} starts.")
    else:
        screen.say(f"{row['ref']} waits for {wording.missing(row['needed'])}.")
        screen.say(f"`stint status {row['ref']} --watch` waits for the decision.", err=True)


@click.command(cls=Command)
@click.argument("ref", type=ANY, required=False)
@click.option(
    "--watch", is_flag=True, help="Follow it: a request until its grant can be used, a grant until its end."
)
@waits
@pass_shell
def status(shell: Shell, ref: str | None, watch: bool, wait: float | None) -> int:
    """Say how a request or grant is; without REF, what you hold, what you asked for, and what waits for you.

    With --watch a request ends with status 0 when its grant can be used and 5 when there won't be one. With --json
    each change is a line.
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
    asked = wire.pages("/requests", mine=True, state="pending")
    decidable = wire.pages("/requests", decidable=True)

    def people() -> None:
        if held:
            screen.table(held, wording.GRANTS, empty="")
        else:
            screen.say("You hold nothing.")
        for title, rows in (("Asked for", asked), ("Waits for your verdict", decidable)):
            if rows:
                screen.say(f"\n{screen.strong(title)}")
                screen.table(rows, wording.REQUESTS, empty="")

    shell.show({"grants": held, "requests": asked, "approvals": decidable}, people)
    return Exit.DONE


@click.command(cls=Command)
@click.option("--all", "everybody", is_flag=True, help="Those of others that you may see, too.")
@click.option("--state", type=click.Choice(["pending", "approved", "denied", "withdrawn", "lapsed"]))
@click.option("--cluster", type=CLUSTER, help="On this cluster.")
@click.option("--most", type=click.IntRange(1, 10000), default=50, show_default=True, help="At most so many.")
@pass_shell
def requests(shell: Shell, everybody: bool, state: str | None, cluster: str | None, most: int) -> None:
    """List your requests, the newest first."""
    found = shell.wire.pages("/requests", most=most, mine=not everybody, state=state, cluster=cluster)
    shell.rows(found, wording.REQUESTS, empty="No requests.")


@click.command(cls=Command)
@click.option("--cluster", type=CLUSTER, help="On this cluster.")
@click.option("--target", "-t", type=TARGET, help="On this target.")
@click.argument("words", metavar="[-- COMMAND]", nargs=-1)
@pass_shell
def offers(shell: Shell, cluster: str | None, target: str | None, words: tuple[str, ...]) -> None:
    """List what you may ask for, the cheapest first; with a COMMAND, what would allow it.

    \b
      stint offers --target web-1 -- systemctl restart nginx
    """
    sent = {"cluster": cluster, "target": target, "line": granting.line_of(words)}
    found = shell.wire.post("/requests/offers", sent)["results"]
    shell.rows(found, wording.OFFERS, empty="You can't request any access.")


@click.command(cls=Command)
@click.argument("ref", type=REQUEST)
@pass_shell
def withdraw(shell: Shell, ref: str) -> None:
    """Take a request of yours back."""
    row = shell.wire.post(f"/requests/{ref}/withdraw")
    shell.show(row, lambda: screen.say(f"{row['ref']} is withdrawn."))


COMMANDS = (request, status, requests, offers, withdraw)

"""`stint ssh`: run a command on a target, with a grant that is requested if needed."""

from __future__ import annotations

from typing import Any

import click

from .. import granting, programs, served, sshing
from ..granting import Want
from ..options import CLUSTER, GRANT, SET, TARGET, CLICommand, about_asking, waits
from ..running import run_with
from ..screen import clock_time
from ..shell import Shell, pass_shell


@click.command(cls=CLICommand)
@click.argument("target", type=TARGET)
@click.argument("words", metavar="[-- COMMAND]", nargs=-1)
@click.option("--grant", type=GRANT, help="Use this grant.")
@click.option("--cluster", type=CLUSTER, help="Cluster, if several have this target.")
@click.option("--set", "command_set", type=SET, help="Request this command set.")
@about_asking
@waits
@click.option(
    "--identity", "-i", type=click.Path(), help="Private key. Default: the registered key in ~/.ssh."
)
@click.option(
    "--keep",
    is_flag=True,
    help="Keep the grant that was requested for COMMAND. By default, it ends with COMMAND.",
)
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option to pass to ssh; can be repeated.",
)
@pass_shell
def ssh(shell: Shell, target: str, words: tuple[str, ...], *, keep: bool, **given: Any) -> int:
    """Run COMMAND on TARGET through Stint's gateway. Without COMMAND, open the gateway's prompt.

    Uses a matching grant, or requests one and waits. Then runs ssh with your own key, and exits with its
    status. A grant that was requested for COMMAND ends with it, unless you pass --keep.

    \b
      stint ssh web-1 -- systemctl restart nginx
      stint ssh web-1 -m "Disk is full" --workflow INC-12
    """
    ssh_program = programs.found("ssh", "Install the OpenSSH client.")
    sshing.check_key(shell)
    line = granting.line_of(words)
    want = Want(
        kinds=("ssh",),
        target=target,
        line=line,
        **asking(given),
        grant=given["grant"],
        cluster=given["cluster"],
    )
    # Prepare this first. Otherwise, a failure here would leave a grant behind.
    gateway = sshing.gateway(shell)
    options = sshing.ssh_options(shell, gateway, identity=given["identity"], options=given["options"])
    asked: list[Any] = []
    grant = granting.a_grant(shell, want, made=asked.append)
    ref, for_this = grant["ref"], bool(asked and line is not None)
    flags = [part for option in options for part in ("-o", option)]
    there = f"{ref}.{served.name(target)}@{gateway.host}"
    # After the first `--`, ssh parses no more options, not even in the command.
    command = [ssh_program, *flags, "--", there, *([line] if line is not None else [])]
    if for_this and not keep:
        return run_with(shell, grant, command, lambda: shell.env)
    if for_this:
        shell.note(
            f"{ref} stays active until {clock_time(str(grant['expires_at']))}. Run `stint end {ref}` to"
            " end it."
        )
    return programs.become(ssh_program, command, shell.env)


def asking(given: Any) -> dict[str, Any]:
    """Return the values of the `about_asking` options as arguments of a ``Want``."""
    return {
        "command_set": given["command_set"],
        "seconds": given["seconds"],
        "reason": given["reason"],
        "ticket": given["ticket"],
        "workflow": given["workflow"],
        "kind": given["kind"] or "",
        "parameters": dict(given["parameters"]),
        "wait": given["wait"],
    }


COMMANDS = (ssh,)

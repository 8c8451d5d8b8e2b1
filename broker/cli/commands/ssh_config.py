"""`stint ssh-config`: hosts for plain ssh, and the ProxyCommand that they use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from .. import granting, relaying, screen, sshconfig, sshing, waiting
from ..errors import Usage
from ..granting import Want
from ..options import TARGET, CLICommand
from ..screen import clock_time
from ..shell import Shell, pass_shell


@click.command("ssh-config", cls=CLICommand)
@click.option(
    "--write", is_flag=True, help="Write ~/.ssh/config.d/stint-SERVER and include it in ~/.ssh/config."
)
@click.option("--remove", is_flag=True, help="Remove what --write wrote.")
@click.option(
    "--prefix", default="", metavar="TEXT", help="Text before the name of each host, such as `stint-`."
)
@pass_shell
def ssh_config(shell: Shell, *, write: bool, remove: bool, prefix: str) -> None:
    """Print an ssh_config with your SSH targets as hosts, for plain ssh, scp, sftp, Ansible and IDEs.

    Each host connects to Stint's gateway with your own key. Uses a matching grant, or requests one at a
    terminal and waits. Without a terminal and a grant, fails and shows how to request one. The file
    contains no secret. Run it again when there are new targets or you have a new key.

    \b
      stint ssh-config --write
      ssh web-1 systemctl restart nginx
      scp web-1:/var/log/nginx/error.log .
    """
    if write and remove:
        raise Usage("--write and --remove exclude each other.", "Pass one of them.")
    if not all(letter.isalnum() or letter in "-_." for letter in prefix):
        raise Usage(f"{prefix!r} can't be part of a host name.", "Use letters, digits, dots, - and _.")
    if remove:
        gone = sshconfig.remove(shell)
        shell.note(f"Removed {gone}." if gone else "There is nothing to remove.")
        return
    sshing.check_key(shell)
    made = sshconfig.text(shell, prefix=prefix)
    if write:
        path = sshconfig.write(shell, made)
        shell.note(f"Wrote {path}, which ~/.ssh/config includes.")
    else:
        screen.say(made.rstrip("\n"))


@click.command("ssh-proxy", cls=CLICommand)
@click.argument("target", type=TARGET)
@pass_shell
def ssh_proxy(shell: Shell, target: str) -> None:
    """Connect standard input and output to the gateway, with a grant for TARGET. `stint ssh-config` sets this
    up as ssh's ProxyCommand.
    """
    want = Want(kinds=("ssh",), target=target)
    gateway = sshing.gateway(shell)
    # ssh reads the host keys after the connection is established.
    sshing.known_hosts(shell, gateway)
    found = granting.held(shell, want)
    if found is None:
        _request(shell, want)
    elif found["state"] != "active":
        waiting.wait_until_usable(shell, found["ref"], seconds=None)
    relaying.relay(relaying.connect(gateway.host, gateway.port))


def _request(shell: Shell, want: Want) -> None:
    """Request a grant at the terminal. Without a terminal, raises NoGrant with how to request one."""
    with contextlib.ExitStack() as closing:
        if not sys.stderr.isatty() or not closing.enter_context(_at_the_terminal()):
            raise granting.no_grant(shell, want)
        grant = granting.a_grant(shell, want)
    until, ref = clock_time(str(grant["expires_at"])), grant["ref"]
    shell.note(f"{ref} stays active until {until}. Run `stint end {ref}` to end it.")


@contextlib.contextmanager
def _at_the_terminal() -> Iterator[bool]:
    """Prompt at the terminal, because ssh uses the standard streams. Yields whether there is a terminal."""
    with contextlib.ExitStack() as closing:
        try:
            typed, shown = (closing.enter_context(Path("/dev/tty").open(mode)) for mode in ("r", "w"))
        except OSError:
            yield False
            return
        closing.enter_context(contextlib.redirect_stdout(shown))
        before, sys.stdin = sys.stdin, typed
        try:
            yield True
        finally:
            sys.stdin = before


COMMANDS = (ssh_config, ssh_proxy)

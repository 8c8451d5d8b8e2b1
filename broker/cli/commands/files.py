"""`stint cp`: copy a file from or to a target, with a grant that is requested if needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import click

from .. import granting, programs, served, sshing
from ..errors import Usage
from ..granting import Want
from ..options import CLUSTER, GRANT, SET, CLICommand, about_asking, waits
from ..running import run_with
from ..screen import clock_time
from ..shell import Shell, pass_shell
from .ssh import asking

_REMOTE = re.compile(r"(?P<place>[A-Za-z0-9_.-]+):(?P<path>/.*)", re.DOTALL)
_REFERENCE = re.compile(rf"(?P<ref>{served.GRANT})(?:\.(?P<target>.+))?", re.IGNORECASE)
# Clients expand these in the path of a download, as a shell would.
_WILD = re.compile(r"([*?\[\\])")
_HOW = "Name one local file and one on a target, such as `stint cp web-1:/var/log/app.log app.log`."


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy. ``grant`` and ``target`` are empty if they are not named. ``down``: from the target."""

    grant: str
    target: str
    path: str
    local: str
    down: bool

    @property
    def line(self) -> str:
        """The line that a grant has to allow."""
        return granting.line_of(("get" if self.down else "put", self.path)) or ""

    def words(self, there: str) -> list[str]:
        """Return the last two arguments of scp, for an account at the gateway."""
        # scp interprets a name with a colon as a file on another machine.
        local = self.local if "/" in self.local else f"./{self.local}"
        path = _WILD.sub(r"\\\1", self.path) if self.down else self.path
        remote = f"{there}:{path}"
        return [remote, local] if self.down else [local, remote]


def parse_copy(source: str, destination: str) -> Copy:
    """Return the copy to make. Raises Usage unless exactly one of the two files is on a target."""
    places = [_REMOTE.fullmatch(source), _REMOTE.fullmatch(destination)]
    (remote,) = [place for place in places if place] if sum(map(bool, places)) == 1 else [None]
    if remote is None:
        raise Usage("Exactly one of the two files must be on a target.", _HOW)
    reference = _REFERENCE.fullmatch(remote["place"])
    grant, target = (reference["ref"], reference["target"] or "") if reference else ("", remote["place"])
    local = destination if places[0] else source
    if not local or local.startswith("-"):
        raise Usage(f"{local[:60]!r} is not the name of a local file.", "Begin the name with ./")
    return Copy(grant.upper(), target, remote["path"], local, down=bool(places[0]))


@click.command(cls=CLICommand)
@click.argument("source")
@click.argument("destination")
@click.option("--grant", type=GRANT, help="Use this grant.")
@click.option("--cluster", type=CLUSTER, help="Cluster, if several have this target.")
@click.option("--set", "command_set", type=SET, help="Request this command set.")
@about_asking
@waits
@click.option(
    "--identity", "-i", type=click.Path(), help="Private key. Default: the registered key in ~/.ssh."
)
@click.option("--keep", is_flag=True, help="Keep the grant that was requested for the copy.")
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option to pass to scp; can be repeated.",
)
@pass_shell
def cp(shell: Shell, source: str, destination: str, *, keep: bool, **given: Any) -> int:
    """Copy one file from or to a target through Stint's gateway.

    The file on the target is TARGET:/PATH, GRANT:/PATH or GRANT.TARGET:/PATH. Uses a matching grant, or
    requests one and waits, as `stint ssh` does. Then runs scp with your own key, and exits with its status.

    \b
      stint cp web-1:/var/log/nginx/error.log .
      stint cp GR-7F3K:/var/log/nginx/error.log error.log
      stint cp r42.tar.gz web-1:/srv/app/releases/r42.tar.gz
    """
    copy = parse_copy(source, destination)
    scp = programs.found("scp", "Install the OpenSSH client, version 9 or later.")
    sshing.check_key(shell)
    # Prepare this first. Otherwise, a failure here would leave a grant behind.
    gateway = sshing.gateway(shell)
    options = sshing.ssh_options(shell, gateway, identity=given["identity"], options=given["options"])
    want = Want(
        kinds=("ssh",),
        target=copy.target or None,
        line=copy.line,
        **asking(given),
        grant=copy.grant or given["grant"],
        cluster=given["cluster"],
    )
    asked: list[Any] = []
    grant = granting.a_grant(shell, want, made=asked.append)
    host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    there = f"{grant['ref']}.{_target_of(copy, grant)}@{host}"
    flags = [part for option in options for part in ("-o", option)]
    # -s: use SFTP, the only protocol of the gateway. Before version 9, scp uses it only with -s.
    command = [scp, "-s", *flags, "--", *copy.words(there)]
    if asked and not keep:
        return run_with(shell, grant, command, lambda: shell.env)
    if asked:
        until = clock_time(str(grant["expires_at"]))
        shell.note(f"{grant['ref']} stays active until {until}. Run `stint end {grant['ref']}` to end it.")
    return programs.become(scp, command, shell.env)


def _target_of(copy: Copy, grant: Any) -> str:
    """Return the target, which need not be named if the grant has only one. Raises Usage."""
    targets = [served.name(name) for name in grant["targets"]]
    if copy.target:
        return served.name(copy.target)
    if len(targets) != 1:
        named = f"{grant['ref']}.{targets[0]}" if targets else grant["ref"]
        raise Usage(
            f"{grant['ref']} has {len(targets)} targets.", f"Name one of the targets: `{named}:{copy.path}`."
        )
    return targets[0]


COMMANDS = (cp,)

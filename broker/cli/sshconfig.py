"""The hosts that plain ssh, scp and sftp can use: a file that the user's ssh_config includes.

Each host connects through `stint ssh-proxy`, which finds or requests the grant.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from . import served, sshing
from .errors import CliError
from .profiles import name_for
from .shell import Shell, own_command

_COMMENT = "# Written by `stint ssh-config --write`, and removed by `stint ssh-config --remove`."
_UNFIT = re.compile(r"[^A-Za-z0-9.-]")


def text(shell: Shell, *, prefix: str = "") -> str:
    """Return an ssh_config with a host for each SSH target. Raises CliError if there is none."""
    clusters = [row for row in shell.wire.pages("/clusters", most=10_000) if row["kind"] == "ssh"]
    targets = sorted({served.name(one["name"]) for row in clusters for one in row["targets"]})
    if not targets:
        raise CliError(
            "You can see no SSH targets.", "Run `stint offers` to list your access.", code="no_targets"
        )
    options = sshing.ssh_options(shell, sshing.gateway(shell))
    hosts = [_host(shell, target, prefix, options) for target in targets]
    return "\n".join([_COMMENT, *hosts])


def _host(shell: Shell, target: str, prefix: str, options: Sequence[str]) -> str:
    lines = [f"User {target}", f"ProxyCommand {_proxy(shell, target)}"]
    lines += [option.replace("=", " ", 1) for option in options]
    return "".join([f"Host {prefix}{target}\n", *(f"  {line}\n" for line in lines)])


def _proxy(shell: Shell, target: str) -> str:
    """Return the command, which ssh passes to the user's shell. Source: ssh_config(5), ProxyCommand."""
    words, env = own_command(shell)
    if shell.ca_file:
        env["STINT_CA_FILE"] = os.path.abspath(shell.ca_file)  # noqa: PTH100  # links stay as they are
    pairs = [f"{name}={value}" for name, value in env.items()]
    return shlex.join(["env", *pairs, *words, "ssh-proxy", target]).replace("%", "%%")


# Files


def write(shell: Shell, made: str) -> Path:
    """Write the server's file, include it in the user's ssh_config, and return its path."""
    path = _path(shell)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(path, made)
    own, line = _user_config(shell), _include(shell)
    before = own.read_text(encoding="utf-8") if own.exists() else ""
    if line not in before.splitlines():
        # An Include after a Host line would apply to that host only.
        _replace(own, f"{line}\n{before}")
    return path


def remove(shell: Shell) -> Path | None:
    """Remove the server's file, and the Include line with the last file. Return its path, if it existed."""
    path, own = _path(shell), _user_config(shell)
    existed = path.exists()
    path.unlink(missing_ok=True)
    if own.exists() and not any(path.parent.glob("stint-*")):
        before = own.read_text(encoding="utf-8")
        _replace(own, before.replace(f"{_include(shell)}\n", ""))
    return path if existed else None


def _folder(shell: Shell) -> Path:
    return Path(shell.env.get("HOME") or Path.home()) / ".ssh"


def _path(shell: Shell) -> Path:
    return _folder(shell) / "config.d" / f"stint-{_UNFIT.sub('-', name_for(shell.wire.url))}"


def _user_config(shell: Shell) -> Path:
    # If the file is a link, such as to a repository of dotfiles, change the file that it names.
    return (_folder(shell) / "config").resolve()


def _include(shell: Shell) -> str:
    return f"Include {sshing.quoted(str(_folder(shell) / 'config.d' / 'stint-*'))}"


def _replace(path: Path, made: str) -> None:
    """Replace a file atomically. A new file can be read only by its owner."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(made)
    temporary.replace(path)

"""How the real ssh client is told where Stint's gateway is, and which keys prove that it is the gateway."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import CliError
from .shell import Shell, cache_folder

Row = Mapping[str, Any]
_PUBLIC_KEYS = "*.pub"


def ssh_options(shell: Shell, *, identity: str | None = None, options: Sequence[str] = ()) -> list[str]:
    """Return the client's options: the port, the gateway's keys, and the caller's registered key where it is found here.

    Nothing is trusted at first sight: the keys come from Stint over the connection that proved who Stint is.
    """
    place = shell.wire.get("/ssh-gateway")
    # The client takes the first value that it is given.
    said = [*options, f"Port={place['port']}"]
    if place["host_keys"]:
        alias = f"stint-{hashlib.sha256(shell.wire.url.encode()).hexdigest()[:16]}"
        known = _known_hosts(shell, alias, place["host_keys"])
        said += [
            f"HostKeyAlias={alias}", f"UserKnownHostsFile={_quoted(known)}", "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes", "CheckHostIP=no", "UpdateHostKeys=no",
        ]  # fmt: skip
    # Refused by the gateway; asked for by the configuration of some, they would only make noise.
    said += ["ForwardAgent=no", "ForwardX11=no", "ControlPath=none"]
    key = identity or _registered_key(shell)
    if key:
        said += [f"IdentityFile={_quoted(key)}", "IdentitiesOnly=yes"]
    return said


def gateway_host(shell: Shell) -> str:
    """Return the host on which the gateway listens."""
    return str(shell.wire.get("/ssh-gateway")["host"])


def check_key(shell: Shell) -> None:
    """Raise CliError where no key is registered: the gateway would only say no."""
    if not shell.wire.pages("/me/ssh-keys", most=1):
        raise CliError(
            "You have no registered SSH key.",
            f"Add your public key on {shell.wire.url}/account/.",
            code="no_ssh_key",
        )


def config(shell: Shell, grant: Row) -> str:
    """Return an ssh_config with a host for each target of a grant, for programs that are given a file."""
    host = gateway_host(shell)
    lines = []
    for target in grant["targets"]:
        lines += [f"Host {target}", f"  HostName {host}", f"  User {grant['ref']}.{target}"]
    lines += ["Host *", *(f"  {option.replace('=', ' ', 1)}" for option in ssh_options(shell))]
    return "\n".join(lines) + "\n"


def _known_hosts(shell: Shell, alias: str, keys: Sequence[str]) -> str:
    path = Path(cache_folder(shell.env)) / f"{alias}.known_hosts"
    text = "".join(f"{alias} {key}\n" for key in keys)
    # Several may start at once: each replaces the whole file by the same text.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    return str(path)


def _registered_key(shell: Shell) -> str:
    """The private half of a registered key, where its .pub lies in ~/.ssh; else the client's own choice is as good."""
    registered = {tuple(row["public_key"].split()[:2]) for row in shell.wire.pages("/me/ssh-keys")}
    home = Path(shell.env.get("HOME") or Path.home()) / ".ssh"
    for public in sorted(home.glob(_PUBLIC_KEYS)):
        try:
            words = public.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            continue
        if tuple(words[:2]) in registered and public.with_suffix("").exists():
            return str(public.with_suffix(""))
    return ""


def _quoted(path: str) -> str:
    """As ssh_config reads a path with spaces."""
    return f'"{path}"' if shlex.quote(path) != path else path

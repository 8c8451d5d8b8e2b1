"""Configuration of the ssh client: the address and the host keys of Stint's gateway."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import served
from .errors import CliError
from .served import Gateway
from .shell import Shell, cache_folder

Row = Mapping[str, Any]
_PUBLIC_KEYS = "*.pub"


def gateway(shell: Shell) -> Gateway:
    """Return the SSH gateway. Raises CliError, including when its host keys are unknown."""
    return served.gateway(shell.wire.get("/ssh-gateway"))


def ssh_options(
    shell: Shell, place: Gateway, *, identity: str | None = None, options: Sequence[str] = ()
) -> list[str]:
    """Return the client's options: the port, the gateway's host keys, and the caller's registered key, if it
    is on this machine.

    Host keys are never trusted on first use: they come from Stint, over its authenticated TLS connection.
    """
    alias, known = known_hosts(shell, place)
    # The client uses the first value of an option. The gateway refuses all forwarding, so a user's
    # configuration that requests it would only cause error messages.
    said = [
        *options,
        f"Port={place.port}",
        f"HostKeyAlias={alias}",
        f"UserKnownHostsFile={quoted(known)}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "CheckHostIP=no",
        "UpdateHostKeys=no",
        "ForwardAgent=no",
        "ForwardX11=no",
        "ControlPath=none",
    ]
    key = identity or _registered_key(shell)
    if key:
        said += [f"IdentityFile={quoted(key)}", "IdentitiesOnly=yes"]
    return said


def check_key(shell: Shell) -> None:
    """Raise CliError if no key is registered, because the gateway would refuse the connection."""
    if not shell.wire.pages("/me/ssh-keys", most=1):
        raise CliError(
            "You have no registered SSH key.",
            f"Add your public key on {shell.wire.url}/account/.",
            code="no_ssh_key",
        )


def config(shell: Shell, grant: Row) -> str:
    """Return an ssh_config with a host for each target of a grant."""
    place = gateway(shell)
    lines = []
    for target in grant["targets"]:
        lines += [f"Host {target}", f"  HostName {place.host}", f"  User {grant['ref']}.{target}"]
    lines += ["Host *", *(f"  {option.replace('=', ' ', 1)}" for option in ssh_options(shell, place))]
    return "\n".join(lines) + "\n"


def known_hosts(shell: Shell, place: Gateway) -> tuple[str, str]:
    """Write the gateway's host keys to a file. Return the name under which it lists them, and its path."""
    alias = f"stint-{hashlib.sha256(shell.wire.url.encode()).hexdigest()[:16]}"
    path = Path(cache_folder(shell.env)) / f"{alias}.known_hosts"
    text = "".join(f"{alias} {key}\n" for key in place.keys)
    # Several processes may start at the same time. Each of them replaces the file with the same text.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    return alias, str(path)


def _registered_key(shell: Shell) -> str:
    """Return the private key of a registered key whose .pub file is in ~/.ssh, or an empty string."""
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


def quoted(path: str) -> str:
    """Quote a path with spaces for ssh_config."""
    return f'"{path}"' if shlex.quote(path) != path else path

"""`stint kubectl-config`, and the exec plugin that its kubeconfig uses."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .. import credentials, granting, screen, served
from ..errors import CliError, Exit
from ..granting import Want
from ..options import CLUSTER, GRANT, SET, TARGET, CLICommand, about_asking, waits
from ..shell import Shell, own_command, pass_shell
from .ssh import asking

_API = "client.authentication.k8s.io/v1"


@click.command("kubectl-config", cls=CLICommand)
@click.argument("cluster", type=CLUSTER)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False),
    help="File to write. Default: ~/.kube/stint-CLUSTER. `-` for standard output.",
)
@click.option("--grant", type=GRANT, help="Use this grant.")
@click.option("--target", "-t", type=TARGET, help="Target, if the cluster has several.")
@click.option("--set", "command_set", type=SET, help="Request this command set.")
@about_asking
@waits
@pass_shell
def kubectl_config(shell: Shell, cluster: str, output: str | None, **given: Any) -> None:
    """Write a kubeconfig for CLUSTER.

    Uses one of your grants, or requests one and waits. The file contains no secret: kubectl runs `stint
    kube-credential` to get a token. Prints how to use the file:

    \b
      eval "$(stint kubectl-config prod-k8s)" && kubectl get pods
    """
    want = Want(
        kinds=("kubernetes",), cluster=cluster, target=given["target"], grant=given["grant"], **asking(given)
    )
    grant = granting.a_grant(shell, want)
    made = credentials.issue(shell, grant, given["target"])
    if "Kubeconfig" not in made["values"]:
        raise CliError(f"{grant['ref']} does not use a kubeconfig.", status=Exit.USAGE, code="no_kubeconfig")
    user = _this_program(shell, grant["ref"], given["target"])
    text = served.kubeconfig(made["values"], cluster=grant["cluster"], user=user)
    if output == "-":
        screen.say(text)
        return
    path = (
        Path(output) if output else Path(shell.env.get("HOME") or Path.home()) / ".kube" / f"stint-{cluster}"
    )
    _save(path, text)
    shell.show(
        {"grant": grant["ref"], "kubeconfig": str(path), "expires_at": grant["expires_at"]},
        lambda: screen.say(f"export KUBECONFIG={shlex.quote(str(path))}"),
    )


def _this_program(shell: Shell, ref: str, target: str | None) -> dict[str, Any]:
    """Return a kubeconfig user entry that runs this program with the same profile."""
    words, env = own_command(shell)
    plugin = {
        "apiVersion": _API,
        "command": words[0],
        "args": [*words[1:], "kube-credential", ref, *([target] if target else [])],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
        "installHint": "Install the stint command.",
    }
    return {"exec": plugin}


def _save(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".stint-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    Path(temporary).replace(path)


@click.command("kube-credential", cls=CLICommand)
@click.argument("grant", type=GRANT)
@click.argument("target", required=False)
@pass_shell
def kube_credential(shell: Shell, grant: str, target: str | None) -> None:
    """Print the token of a grant as a kubectl exec plugin, which `stint kubectl-config` sets up."""
    made = credentials.issue(shell, {"ref": grant}, target)
    screen.say_json(exec_credential(made), lines=True)


def exec_credential(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ExecCredential. Source:
    https://kubernetes.io/docs/reference/config-api/client-authentication.v1/.
    """
    token, ends = made["values"].get("Token"), screen.moment(made["expires_at"])
    if not token or ends is None:
        raise CliError("This grant is not on a Kubernetes cluster.", code="no_token")
    status = {"token": token, "expirationTimestamp": ends.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"apiVersion": _API, "kind": "ExecCredential", "status": status}


COMMANDS = (kubectl_config, kube_credential)

"""`stint run`, for pipelines and agents."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from .. import credentials, granting
from ..errors import Usage
from ..granting import Want
from ..options import CLUSTER, GRANT, SET, TARGET, CLICommand, Pair, about_asking, waits
from ..running import run_with, withdrawn_when_interrupted
from ..shell import Shell, pass_shell
from .ssh import asking


@click.command(cls=CLICommand)
@click.argument("words", metavar="-- COMMAND", nargs=-1)
@click.option("--grant", type=GRANT, help="Use this grant. It ends with the command.")
@click.option("--cluster", type=CLUSTER, help="Only on this cluster.")
@click.option("--target", "-t", type=TARGET, help="Only on this target.")
@click.option("--set", "command_set", type=SET, help="Request this command set.")
@about_asking
@waits
@click.option(
    "--env",
    "-e",
    "named",
    type=Pair(),
    multiple=True,
    metavar="NAME=LABEL",
    help=(
        "Set the environment variable NAME to the credential's value with this label, such as API_KEY=Token."
    ),
)
@pass_shell
def run(shell: Shell, words: tuple[str, ...], named: tuple[tuple[str, str], ...], **given: Any) -> int:
    """Run COMMAND with a grant that ends with it, and exit with its status.

    Uses one of your grants, or requests one and waits. Forwards signals to COMMAND. Sends heartbeats if the
    policy requires them, so that the grant ends if this machine fails. If the grant ends first, COMMAND gets
    SIGTERM, and SIGKILL 10 s later.

    COMMAND gets these environment variables:

    \b
      ssh          STINT_SSH_CONFIG, for: ssh -F "$STINT_SSH_CONFIG" web-1 systemctl restart nginx
      postgres     PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLMODE …
      kubernetes   KUBECONFIG
      http, mcp    STINT_GRANT_TOKEN, STINT_ADDRESS
      all          STINT_GRANT, STINT_CLUSTER, and STINT_CREDENTIAL_FILE (JSON) if there is a credential

    If you interrupt `stint run` while it waits, it withdraws its request. COMMAND doesn't get your own
    STINT_TOKEN. The files are deleted when COMMAND ends.

    \b
      stint run --cluster shop-db --set read-orders --workflow TSK-4 -- ./report.py
    """
    if not words:
        raise Usage(
            "A command is required.",
            "Put the command after --: `stint run --cluster shop-db -- ./report.py`.",
        )
    if shutil.which(words[0], path=shell.env.get("PATH")) is None:
        raise Usage(f"Program not found: {words[0]}.")
    if not given["grant"] and not given["cluster"] and not given["target"]:
        raise Usage("Pass --grant, or --cluster and --set.")
    want = Want(cluster=given["cluster"], target=given["target"], grant=given["grant"], **asking(given))
    # Create the folder first. Otherwise, a grant would be left behind if the folder can't be created.
    folder = _folder(shell)
    try:
        with withdrawn_when_interrupted(shell) as made:
            grant = granting.a_grant(shell, want, made=made)

            def prepare() -> dict[str, str]:
                handed = credentials.handed(shell, grant, given["target"], folder)
                more = credentials.named(handed.get("STINT_CREDENTIAL_FILE"), dict(named))
                return {**credentials.clean(shell.env), **handed, **more}

            return run_with(shell, grant, words, prepare)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder(shell: Shell) -> Path:
    """Create a folder that only its owner can read, in the user's runtime directory (XDG_RUNTIME_DIR) or the
    temporary directory.
    """
    wanted = shell.env.get("XDG_RUNTIME_DIR", "")
    place = wanted if wanted and os.access(wanted, os.W_OK | os.X_OK) else None
    try:
        return Path(tempfile.mkdtemp(prefix="stint-run-", dir=place))
    except OSError as error:
        raise Usage(f"Can't create files for the credential: {error}.") from None


COMMANDS = (run,)

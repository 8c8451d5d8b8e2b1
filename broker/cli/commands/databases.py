"""`stint psql` and `stint mariadb`."""

from __future__ import annotations

from typing import Any

import click

from .. import credentials, granting, programs
from ..granting import Want
from ..options import CLUSTER, GRANT, SET, TARGET, CLICommand, about_asking, waits
from ..shell import Shell, pass_shell
from .ssh import asking


@click.command(cls=CLICommand)
@click.argument("cluster", type=CLUSTER)
@click.argument("words", metavar="[-- PSQL OPTIONS]", nargs=-1)
@click.option("--grant", type=GRANT, help="Use this grant.")
@click.option("--target", "-t", type=TARGET, help="Target, if the cluster has several.")
@click.option("--set", "command_set", type=SET, help="Request this command set.")
@about_asking
@waits
@pass_shell
def psql(shell: Shell, cluster: str, words: tuple[str, ...], **given: Any) -> None:
    """Open psql on CLUSTER with the role of your grant.

    Uses one of your grants, or requests one and waits. Creates a new password and passes it to psql in its
    environment. The previous password is no longer valid for new logins; open sessions stay open. If the
    grant is for statements, psql connects to Stint's PostgreSQL gateway with the grant's token.

    \b
      stint psql shop-db -- -c "SELECT count(*) FROM orders"
    """
    program = programs.found("psql", "Install PostgreSQL's client.")
    want = Want(
        kinds=("postgres",), cluster=cluster, target=given["target"], grant=given["grant"], **asking(given)
    )
    grant = granting.a_grant(shell, want)
    credential = credentials.issue(shell, grant, given["target"])
    env = {**credentials.clean(shell.env), **credentials.postgres(shell, credential)}
    programs.become(program, [program, *words], env)


@click.command(cls=CLICommand)
@click.argument("cluster", type=CLUSTER)
@click.argument("words", metavar="[-- MARIADB OPTIONS]", nargs=-1)
@click.option("--grant", type=GRANT, help="Use this grant.")
@click.option("--target", "-t", type=TARGET, help="Target, if the cluster has several.")
@click.option("--set", "command_set", type=SET, help="Request this command set.")
@about_asking
@waits
@pass_shell
def mariadb(shell: Shell, cluster: str, words: tuple[str, ...], **given: Any) -> None:
    """Open the mariadb client on CLUSTER with the account of your grant.

    Uses one of your grants, or requests one and waits. Creates a new password and passes it to the client in
    its environment. The previous password is no longer valid for new logins; open sessions stay open.

    \b
      stint mariadb stock-db -- -e "SELECT count(*) FROM orders"
    """
    program = programs.found("mariadb", "Install MariaDB's client.")
    want = Want(
        kinds=("mariadb",), cluster=cluster, target=given["target"], grant=given["grant"], **asking(given)
    )
    grant = granting.a_grant(shell, want)
    options, secret = credentials.mariadb(shell, credentials.issue(shell, grant, given["target"]))
    env = {**credentials.clean(shell.env), **secret}
    programs.become(program, [program, "--no-defaults", *options, *words], env)


COMMANDS = (psql, mariadb)

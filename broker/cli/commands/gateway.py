"""`stint gateway`: the address and the certificates of the web gateways."""

from __future__ import annotations

import dataclasses

import click

from .. import screen, served
from ..errors import CliError
from ..options import CLICommand
from ..shell import Shell, pass_shell


@click.command(cls=CLICommand)
@click.option("--ca", is_flag=True, help="Print the CA certificates (PEM) for other programs.")
@pass_shell
def gateway(shell: Shell, ca: bool) -> None:
    """Print the address of Stint's web gateways and the fingerprints to trust (SHA-256).

    Give other programs the gateway's CA:

    \b
      stint gateway --ca > stint-ca.pem
      curl --cacert stint-ca.pem https://gateway.example.com:8443/healthz
    """
    found = served.web_gateway(shell.wire.get("/web-gateway"))
    if not ca:
        lines = (found.url, *(f"SHA-256 {one}" for one in found.fingerprints))
        shell.show(dataclasses.asdict(found), lambda: screen.say("\n".join(lines)))
        return
    if not found.ca:
        raise CliError(
            "The gateway's certificate was not issued by Stint's own CA.",
            "It is verified with the CAs of your system, so programs need no extra CA.",
            code="no_authority",
        )
    screen.say(found.ca.rstrip("\n"))


COMMANDS = (gateway,)

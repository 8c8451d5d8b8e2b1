"""`manage.py ssh_target_setup CLUSTER`: print the script that an administrator runs once on each target."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from broker.kernel import clock
from broker.kernel.command import StintCommand
from sessions_app.connectors.ssh.setup import NoSetup
from sessions_app.models import Cluster
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.note_setup_shown import note_setup_shown
from sessions_app.operations.targets.target_setup import ssh_setup
from sessions_app.queries.gateways.keys import SSH_USER_CA


def _address(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        raise ArgumentTypeError(
            f"{text} is not an address or a network; use one like 192.0.2.7 or 192.0.2.0/28"
        ) from error
    return text


class Command(StintCommand):
    """Print the setup script of a cluster's targets."""

    help = "Print the script that sets up the targets of a cluster. Run it as root on each target."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", help="name of the cluster")
        parser.add_argument(
            "--gateway",
            action="append",
            default=[],
            metavar="ADDRESS",
            type=_address,
            help="source address of a gateway, as targets see it; can be repeated (STINT_SSH_SOURCE_ADDRESS)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_authority(SSH_USER_CA, now=clock.now())
        cluster = Cluster.objects.live().filter(name=options["cluster"], kind="ssh").first()
        try:
            setup = cluster and ssh_setup(cluster, gateways=options["gateway"] or settings.SSH_SOURCE_ADDRESS)
        except NoSetup as error:
            raise CommandError(f"{error} You can also pass the address with --gateway.") from error
        if not setup:
            raise CommandError(
                f"SSH cluster {options['cluster']} not found, or it has no targets. Create it with "
                "`manage.py apply`."
            )
        note_setup_shown(cluster=options["cluster"], command="ssh_target_setup", now=clock.now())
        self.stdout.write(setup.script, ending="")

"""`manage.py ssh_target_setup CLUSTER`: what the administrator of each target has to run, once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from broker.kernel import clock
from sessions_app.connectors.ssh.setup import target_setup
from sessions_app.models import Target
from sessions_app.operations.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.queries.authority import trusted_ssh_cas


class Command(BaseCommand):
    """Print the set-up of a cluster's targets."""

    help = "Print what to run as root on each target of a cluster, so that Stint may run approved commands there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", help="name of the cluster")
        parser.add_argument(
            "--gateway",
            action="append",
            default=[],
            metavar="ADDRESS",
            help="address that targets see a gateway come from; may be repeated (STINT_SSH_SOURCE_ADDRESS)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        targets = list(Target.objects.live().filter(cluster__name=options["cluster"], cluster__kind="ssh"))
        if not targets:
            raise CommandError(
                f"There is no SSH cluster {options['cluster']} with targets. `manage.py apply` makes one."
            )
        ensure_ssh_ca(now=clock.now())
        self.stdout.write(
            target_setup(
                accounts={target.account for target in targets},
                ca_keys=[key.public_key for key in trusted_ssh_cas()],
                gateways=options["gateway"] or settings.SSH_SOURCE_ADDRESS,
            ),
            ending="",
        )

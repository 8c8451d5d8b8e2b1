"""`manage.py mariadb_target_setup CLUSTER`: print the SQL that a database administrator runs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from broker.kernel import clock
from broker.kernel.command import StintCommand
from sessions_app.models import Cluster
from sessions_app.operations.targets.note_setup_shown import note_setup_shown
from sessions_app.operations.targets.target_setup import mariadb_target_setup


class Command(StintCommand):
    """Print the SQL that sets up a cluster's servers."""

    help = "Print the SQL that creates Stint's account, and lets it grant what the command sets allow."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", help="name of the cluster")

    def handle(self, *args: Any, **options: Any) -> None:
        cluster = Cluster.objects.filter(name=options["cluster"], kind="mariadb").first()
        text = mariadb_target_setup(cluster) if cluster else ""
        if cluster is None or not text:
            raise CommandError(
                f"MariaDB cluster {options['cluster']} not found, or it has no target. Create it with "
                "`manage.py apply`."
            )
        note_setup_shown(cluster=cluster.name, command="mariadb_target_setup", now=clock.now())
        self.stdout.write(text, ending="")

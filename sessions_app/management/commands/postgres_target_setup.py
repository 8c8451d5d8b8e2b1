"""`manage.py postgres_target_setup CLUSTER`: print the SQL that a database administrator runs once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from broker.kernel import clock
from broker.kernel.command import StintCommand
from sessions_app.connectors.postgres.parameters import PostgresParameters
from sessions_app.connectors.postgres.setup import login_trigger, target_setup
from sessions_app.models import Cluster
from sessions_app.operations.targets.note_setup_shown import note_setup_shown


class Command(StintCommand):
    """Print the SQL that sets up a cluster's servers."""

    help = "Print the SQL that creates Stint's role. The role can do little more than create and drop roles."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", help="name of the cluster")
        parser.add_argument(
            "--template",
            action="append",
            default=[],
            metavar="ROLE",
            help="NOLOGIN role that command sets grant (ROLE reporting_reader); can be repeated",
        )
        parser.add_argument(
            "--login-trigger",
            action="store_true",
            help=(
                "also print a login trigger (PostgreSQL 17 and newer), which refuses logins of ended "
                "grants even where no password is required; create the trigger in each database"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        cluster = Cluster.objects.filter(name=options["cluster"], kind="postgres").first()
        if cluster is None:
            raise CommandError(
                f"PostgreSQL cluster {options['cluster']} not found. Create it with `manage.py apply`."
            )
        known = {
            name: cluster.connection.get(name, about.default)
            for name, about in PostgresParameters.model_fields.items()
        }
        try:
            printed = target_setup(
                broker=known["user"],
                templates=options["template"],
                keeper=known["reassign_to"],
                read_statements=known["read_statements"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        note_setup_shown(cluster=cluster.name, command="postgres_target_setup", now=clock.now())
        self.stdout.write(printed + (login_trigger() if options["login_trigger"] else ""), ending="")

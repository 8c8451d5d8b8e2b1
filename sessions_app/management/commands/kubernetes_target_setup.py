"""`manage.py kubernetes_target_setup CLUSTER`: print the manifests that a Kubernetes administrator
applies.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError

from broker.kernel import clock
from broker.kernel.command import StintCommand
from sessions_app.connectors.kubernetes.setup import ceiling, target_setup
from sessions_app.models import Cluster, CommandSet
from sessions_app.operations.targets.note_setup_shown import note_setup_shown
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS
from sessions_app.queries.catalog.command_sets import compiled_open


class Command(StintCommand):
    """Print the manifests of Stint's service account on a cluster."""

    help = (
        "Print the manifests for a Kubernetes cluster. They let Stint create service accounts for "
        "grants, limited to what Stint's command sets allow."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", help="name of the cluster")
        parser.add_argument(
            "--command-set",
            action="append",
            default=[],
            metavar="NAME",
            help=(
                "command set that grants can use; can be repeated (default: the command sets of the "
                "cluster's policies)"
            ),
        )
        parser.add_argument(
            "--namespace",
            action="append",
            default=[],
            metavar="NAME",
            help="namespace for command sets that don't name one; can be repeated",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        cluster = Cluster.objects.live().filter(name=options["cluster"], kind="kubernetes").first()
        connection = cluster.connection if cluster else {}
        spaces = options["namespace"] or connection.get("namespaces")
        printed = target_setup(
            ceiling(self._sets(options["cluster"], options["command_set"]), spaces),
            accounts=connection.get("accounts", ACCOUNTS),
        )
        note_setup_shown(cluster=options["cluster"], command="kubernetes_target_setup", now=clock.now())
        self.stdout.write(printed, ending="")

    def _sets(self, cluster: str, names: Sequence[str]) -> list[CompiledSet]:
        found = CommandSet.objects.live().filter(kind="kubernetes").prefetch_related("versions")
        if names:
            found = found.filter(name__in=names)
        else:
            found = found.filter(policies__clusters__name=cluster, policies__removed_at=None).distinct()
        published = {one.name: one.published for one in found}
        missing = [name for name in names if published.get(name) is None]
        if missing or not published:
            what = ", ".join(missing) or "any policy on the cluster"
            raise CommandError(
                f"No published Kubernetes command set found for {what}. Publish a command set and pass "
                "it with --command-set."
            )
        compiled = [compiled_open(version) for version in published.values() if version is not None]
        return [one for one in compiled if isinstance(one, CompiledSet)]

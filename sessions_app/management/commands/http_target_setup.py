"""`manage.py http_target_setup CLUSTER`: what goes into the configuration of the proxy in front of an API."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.http.snippets import PROXIES, snippet
from sessions_app.models import Cluster
from sessions_app.operations.target_setup import UPSTREAM, http_sites


class Command(BaseCommand):
    """Print the lines for the proxy of each target. They hold the proxy key."""

    help = "Print what makes a proxy ask Stint about every request to a cluster. It holds the cluster's proxy key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", help="name of the cluster")
        parser.add_argument("--proxy", choices=PROXIES, help="for another proxy than the cluster names")
        parser.add_argument(
            "--upstream", default=UPSTREAM, help=f"address of the application (default {UPSTREAM})"
        )
        parser.add_argument("--target", help="name of one target")

    def handle(self, *args: Any, **options: Any) -> None:
        cluster = Cluster.objects.live().filter(name=options["cluster"], kind="http").first()
        if cluster is None:
            raise CommandError(
                f"There is no HTTP cluster {options['cluster']}. `manage.py apply` makes one from its file."
            )
        try:
            sites = http_sites(cluster, upstream=options["upstream"])
        except ConnectorError as error:
            raise CommandError(error.message) from None
        wanted = [(proxy, site) for proxy, site in sites if options["target"] in (None, site.target)]
        if not wanted:
            raise CommandError(f"{cluster} has no target {options['target']}.")
        texts = [snippet(options["proxy"] or proxy, site) for proxy, site in wanted]
        self.stdout.write("\n".join(texts), ending="")

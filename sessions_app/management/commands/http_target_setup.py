"""`manage.py http_target_setup CLUSTER`: print the configuration of the proxy in front of an API."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.crypto import new_token
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.http.snippets import PROXIES, snippet
from sessions_app.models import Cluster
from sessions_app.operations.targets.note_setup_shown import note_setup_shown
from sessions_app.operations.targets.target_setup import UPSTREAM, http_sites


class Command(StintCommand):
    """Print the proxy configuration for each target. The output contains the proxy key."""

    help = "Print the proxy configuration for a cluster. The output contains the cluster's proxy key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", nargs="?", help="name of the cluster")
        parser.add_argument(
            "--proxy", choices=PROXIES, help="proxy software to use instead of the cluster's setting"
        )
        parser.add_argument("--upstream", default=UPSTREAM, metavar="URL", help="address of the application")
        parser.add_argument(
            "--stint", default="", metavar="URL", help="address at which the proxy reaches Stint"
        )
        parser.add_argument("--new-key", action="store_true", help="only generate and print a new proxy key")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["new_key"]:
            self.stdout.write(new_token("spk"))
            return
        if not options["cluster"]:
            raise CommandError("Pass a cluster, or use --new-key to generate a key.")
        cluster = Cluster.objects.live().filter(name=options["cluster"], kind="http").first()
        if cluster is None:
            raise CommandError(
                f"HTTP cluster {options['cluster']} not found. Create it with `manage.py apply`."
            )
        try:
            sites = http_sites(cluster, upstream=options["upstream"], stint=options["stint"])
        except ConnectorError as error:
            raise CommandError(error.message) from None
        if not sites:
            raise CommandError(
                f"{cluster.name} uses Stint's own gateway (proxy: stint), so there is no proxy to set "
                "up. Put the application's address and credential into the cluster's connection."
            )
        texts = [snippet(options["proxy"] or proxy, site) for proxy, site in sites]
        note_setup_shown(cluster=cluster.name, command="http_target_setup", has_secret=True, now=clock.now())
        self.stdout.write("\n".join(texts), ending="")

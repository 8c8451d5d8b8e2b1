"""`manage.py http_target_setup CLUSTER`: what to put into the configuration of the proxy, once."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from broker.kernel.crypto import CannotDecrypt
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.http.connector import HTTPParameters
from sessions_app.connectors.http.snippets import PROXIES, Site, snippet
from sessions_app.models import Target
from sessions_app.operations.connect import place_of_target


class Command(BaseCommand):
    """Print the set-up of a cluster's proxies."""

    help = "Print what to put into the configuration of each proxy of an http cluster, so that it asks Stint."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", nargs="?", help="name of the cluster")
        parser.add_argument("--proxy", choices=PROXIES, help="kind of proxy, if not the one of the cluster")
        parser.add_argument(
            "--upstream", default="http://127.0.0.1:9000", metavar="URL", help="address of the application"
        )
        parser.add_argument(
            "--stint",
            default=settings.PUBLIC_URL,
            metavar="URL",
            help="Stint's address as the proxy reaches it",
        )
        parser.add_argument(
            "--new-key", action="store_true", help="print a fresh proxy key, and nothing else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["new_key"]:
            self.stdout.write(f"spk_{secrets.token_urlsafe(32)}")
            return
        if not options["cluster"]:
            raise CommandError("Name the cluster, or ask for a key with --new-key.")
        targets = Target.objects.live().select_related("cluster")
        found = list(targets.filter(cluster__name=options["cluster"], cluster__kind="http").order_by("name"))
        if not found:
            raise CommandError(
                f"There is no HTTP cluster {options['cluster']} with targets. `manage.py apply` makes one."
            )
        for target in found:
            parameters = self._parameters(target)
            site = _site(target, parameters, upstream=options["upstream"], stint=options["stint"])
            self.stdout.write(snippet(options["proxy"] or parameters.proxy, site), ending="")

    def _parameters(self, target: Target) -> HTTPParameters:
        try:
            parameters = place_of_target(target).parameters
        except (ConnectorError, CannotDecrypt) as error:
            raise CommandError(str(error)) from error
        if not isinstance(parameters, HTTPParameters):
            raise CommandError(f"How to reach {target.name} is not said; save the cluster's set-up again.")
        return parameters


def _site(target: Target, parameters: HTTPParameters, *, upstream: str, stint: str) -> Site:
    scheme, usual = ("https", 443) if parameters.tls else ("http", 80)
    host = parameters.host or target.address
    port = "" if target.port == usual or parameters.host else f":{target.port}"
    return Site(
        target=target.name, origin=f"{scheme}://{host}{port}", upstream=upstream.rstrip("/"), stint=stint.rstrip("/"),
        base_path=parameters.base_path, proxy_key=parameters.proxy_key.get_secret_value(),
    )  # fmt: skip

"""`manage.py gateway`: run all gateways, or some of them, in one process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from argparse import ArgumentParser
from dataclasses import replace
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import CommandError

from broker.kernel.command import StintCommand
from broker.kernel.database import name_process
from broker.kernel.errors import StintError
from sessions_app.gateways.core.endpoint import Endpoint
from sessions_app.gateways.core.options import WebOptions
from sessions_app.gateways.core.process import Gateway, Options, raise_file_limit
from sessions_app.gateways.endpoints import NAMES, POSTGRES, SSH, Addresses, endpoints, named


class Command(StintCommand):
    """Serve until stopped. Stopping a gateway ends no grant."""

    help = "Run the gateways."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--protocols",
            default=",".join(NAMES),
            help=f"which gateways to serve (default: {','.join(NAMES)})",
        )
        add("--ssh-host", default=settings.SSH_GATEWAY_HOST, help="address for SSH (STINT_SSH_HOST)")
        add("--ssh-port", type=int, default=settings.SSH_GATEWAY_PORT, help="port for SSH (STINT_SSH_PORT)")
        add(
            "--postgres-host",
            default=settings.POSTGRES_GATEWAY_HOST,
            help="address for PostgreSQL (STINT_POSTGRES_GATEWAY_HOST)",
        )
        add(
            "--postgres-port",
            type=int,
            default=settings.POSTGRES_GATEWAY_PORT,
            help="port for PostgreSQL (STINT_POSTGRES_GATEWAY_PORT)",
        )
        add("--host", default=settings.GATEWAY_HOST, help="address for HTTPS (STINT_GATEWAY_HOST)")
        add("--port", type=int, default=settings.GATEWAY_PORT, help="port for HTTPS (STINT_GATEWAY_PORT)")
        add("--name", default="", help="unique name of this gateway process (host:port)")
        add(
            "--metrics-port",
            type=int,
            default=settings.GATEWAY_METRICS_PORT,
            help=(
                "serve Prometheus metrics on this port of STINT_METRICS_HOST; 0 disables them"
                " (STINT_GATEWAY_METRICS_PORT)"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        raise_file_limit()
        try:
            names = named(options["protocols"])
            name = options["name"] or f"{socket.gethostname()}:{_first_port(names, options)}"
            name_process("gateway", name)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(name, names, options))
        except StintError as error:
            raise CommandError(str(error)) from error
        sys.stdout.flush()
        sys.stderr.flush()
        # A thread that waits for an unresponsive database must not delay the exit.
        os._exit(0)


def _first_port(names: list[str], options: dict[str, Any]) -> int:
    """Return a port that no other process of this machine listens on."""
    known = ((SSH, "ssh_port"), (POSTGRES, "postgres_port"))
    own = [options[option] for name, option in known if name in names]
    return int(own[0] if own else options["port"])


async def _serve(name: str, names: list[str], options: dict[str, Any]) -> None:
    served = _endpoints(names, options)
    await Gateway(Options(name=name, metrics_port=options["metrics_port"]), served).run()


def _endpoints(names: list[str], options: dict[str, Any]) -> list[Endpoint]:
    web = WebOptions(
        host=options["host"],
        port=options["port"],
        url=settings.GATEWAY_PUBLIC_URL,
        certificate=settings.GATEWAY_CERTIFICATE,
        key=settings.GATEWAY_KEY,
    )
    addresses = Addresses(
        ssh_host=options["ssh_host"],
        ssh_port=options["ssh_port"],
        postgres=replace(web, host=options["postgres_host"], port=options["postgres_port"]),
        web=web,
    )
    return list(endpoints(names, addresses))

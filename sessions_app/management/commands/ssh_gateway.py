"""`manage.py ssh_gateway`: the SSH gateway as a process of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError
from sessions_app.gateways.ssh.process import Gateway, Options, raise_file_limit

# Silence of the database is noticed well before the lease of ten seconds is over.
_TCP = {"keepalives_idle": 3, "keepalives_interval": 2, "keepalives_count": 2, "tcp_user_timeout": 7000}


class Command(StintCommand):
    """Serve SSH until told to stop; stopping ends no grant."""

    help = "Run the SSH gateway."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host", default=settings.SSH_GATEWAY_HOST, help="address to listen on (STINT_SSH_HOST)"
        )
        parser.add_argument(
            "--port", type=int, default=settings.SSH_GATEWAY_PORT, help="port (STINT_SSH_PORT)"
        )
        parser.add_argument("--name", default="", help="unique name of this gateway process (host:port)")
        parser.add_argument(
            "--metrics-port",
            type=int,
            default=settings.SSH_METRICS_PORT,
            help="serve Prometheus metrics on this loopback port; 0 disables them (STINT_SSH_METRICS_PORT)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"] or f"{socket.gethostname()}:{options['port']}"
        raise_file_limit()
        settings.DATABASES["default"]["OPTIONS"].update(_TCP)
        try:
            asyncio.run(
                _serve(
                    Options(
                        host=options["host"],
                        port=options["port"],
                        name=name,
                        metrics_port=options["metrics_port"],
                    )
                )
            )
        except StintError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(
                f"Can't listen on {options['host']} port {options['port']}: {error.strerror}."
            ) from error
        sys.stdout.flush()
        sys.stderr.flush()
        # A thread that waits for a dead database may not hold the end up.
        os._exit(0)


async def _serve(options: Options) -> None:
    await Gateway(options).run()

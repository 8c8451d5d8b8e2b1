"""`manage.py serve web|streams|worker`: run one process of Stint in the foreground, for systemd and
containers.

The process replaces itself with the server before settings are loaded.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from broker.embedded.state import REPOSITORY
from broker.processes.argv import streams_argv, web_argv, worker_argv


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="manage.py serve",
        description=(
            "Run one process of Stint: web (pages and API), streams (live streams and MCP) or worker. For"
            " gateways, use `manage.py gateway`."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("kind", choices=["web", "streams", "worker"])
    add("--host", default="127.0.0.1", help="address of web or streams")
    add("--port", type=int, help="port of web (default: 8000) or streams (default: 8001)")
    add("--processes", type=int, default=1, help="how many processes serve pages and API")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line. Exits with a usage message if it is invalid."""
    return command_line().parse_args(argv)


def python_argv(options: argparse.Namespace) -> list[str]:
    """Return Python's arguments for the process."""
    if options.kind == "web":
        return web_argv(options.host, options.port or 8000, workers=options.processes)
    if options.kind == "streams":
        return streams_argv(options.host, options.port or 8001)
    return worker_argv()


def main(argv: Sequence[str]) -> int:
    """Replace this process with the server. Returns only if that fails."""
    words = python_argv(parse(argv))
    os.chdir(REPOSITORY)
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606  # our own interpreter

"""Lists `up` among the commands. `manage.py` runs it before Django is set up, because it starts the database."""

from __future__ import annotations

import sys
from typing import Any

from broker.kernel.command import StintCommand
from broker.processes.up import main


class Command(StintCommand):
    """The command as Django knows it."""

    help = "Start all of Stint: embedded servers if none are configured, web, streams, worker, SSH gateway."

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(main(argv[2:]))

    def handle(self, *_args: Any, **_options: Any) -> None:
        sys.exit(main([]))

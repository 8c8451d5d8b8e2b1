"""Lists `demo` among the commands. `manage.py` runs it before Django is set up, because it starts the database."""

from __future__ import annotations

import sys
from typing import Any

from broker.demo.main import main
from broker.kernel.command import StintCommand


class Command(StintCommand):
    """The command as Django knows it."""

    help = "Run the demo on real servers in a temporary folder, then serve the pages; --once exits after the story."

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(main(argv[2:]))

    def handle(self, *_args: Any, **_options: Any) -> None:
        sys.exit(main([]))

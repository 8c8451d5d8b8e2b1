"""Adds `serve` to the commands: it becomes a server, which reads the settings itself."""

from __future__ import annotations

from broker.kernel.command import EarlyCommand
from broker.processes.serve import main


class Command(EarlyCommand):
    """The command, for Django's list."""

    help = "Run one process of Stint: web, streams or worker."
    main = staticmethod(main)

"""Adds `up` to the commands: it starts the database that settings need."""

from __future__ import annotations

from broker.kernel.command import EarlyCommand
from broker.processes.up import main


class Command(EarlyCommand):
    """The command, for Django's list."""

    help = "Start all of Stint: embedded servers if none are configured, web, streams, worker, SSH gateway."
    main = staticmethod(main)

"""`manage.py up`. Its main function runs before settings are loaded, because it starts the database that
settings need.
"""

from __future__ import annotations

from broker.kernel.command import EarlyCommand
from broker.processes.up import command_line, main


class Command(EarlyCommand):
    """The entry in Django's list of commands."""

    help = (
        "Start all processes of Stint: web, streams, worker and gateways, with embedded servers if none are"
        " configured."
    )
    main = staticmethod(main)
    command_line = staticmethod(command_line)

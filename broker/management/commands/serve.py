"""`manage.py serve`. Its main function runs before settings are loaded, because this process is replaced by a
server, which loads them.
"""

from __future__ import annotations

from broker.kernel.command import EarlyCommand
from broker.processes.serve import command_line, main


class Command(EarlyCommand):
    """The entry in Django's list of commands."""

    help = "Run one process of Stint: web, streams or worker."
    main = staticmethod(main)
    command_line = staticmethod(command_line)

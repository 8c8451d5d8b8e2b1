"""`manage.py demo`. Its main function runs before settings are loaded, because it starts the database that
settings need.
"""

from __future__ import annotations

from broker.demo.main import command_line, main
from broker.kernel.command import EarlyCommand


class Command(EarlyCommand):
    """The entry in Django's list of commands."""

    help = (
        "Run the demo on real servers in a temporary folder, then serve the pages. --once exits after the"
        " demo."
    )
    main = staticmethod(main)
    command_line = staticmethod(command_line)

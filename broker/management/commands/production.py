"""`manage.py production`. Its main function runs before settings are loaded, because it writes them."""

from __future__ import annotations

from broker.kernel.command import EarlyCommand
from broker.production.main import command_line, main


class Command(EarlyCommand):
    """The entry in Django's list of commands."""

    help = "Write the files that run Stint in production: systemd units, an nginx site and settings."
    main = staticmethod(main)
    command_line = staticmethod(command_line)

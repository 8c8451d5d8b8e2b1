"""Adds `demo` to the commands: it starts the database that settings need."""

from __future__ import annotations

from broker.demo.main import main
from broker.kernel.command import EarlyCommand


class Command(EarlyCommand):
    """The command, for Django's list."""

    help = "Run the demo on real servers in a temporary folder, then serve the pages; --once exits after the story."
    main = staticmethod(main)

"""Adds `production` to the commands: it writes the settings."""

from __future__ import annotations

from broker.kernel.command import EarlyCommand
from broker.production.main import main


class Command(EarlyCommand):
    """The command, for Django's list."""

    help = "Write what runs Stint in production: units of systemd, a site of nginx, settings."
    main = staticmethod(main)

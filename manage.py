#!/usr/bin/env python3
"""Stint's commands: `python manage.py help`."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from broker.demo.main import main as demo
from broker.embedded.errors import EmbeddedError
from broker.env import EnvError
from broker.processes.serve import main as serve
from broker.processes.up import main as up
from broker.production.main import main as production


def main(argv: list[str]) -> int:
    """Run the command that `argv` names; return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")
    # These run before the settings are loaded: they start the database that the settings need,
    # write the settings, or let a server load them.
    early = {"up": up, "demo": demo, "production": production, "serve": serve}
    if command := early.get("".join(argv[1:2])):
        return command(argv[2:])
    try:
        execute_from_command_line(argv)
    except (EnvError, EmbeddedError, ImproperlyConfigured) as error:
        sys.stderr.write(f"stint: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

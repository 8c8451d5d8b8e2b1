"""`manage.py kube_credential GR-XXXX`: a kubectl exec plugin that gets a grant's credential from
Stint's API.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from broker.kernel.command import StintCommand
from sessions_app.connectors.kubernetes.plugin import main


class Command(StintCommand):
    """Print an ExecCredential. Needs STINT_URL and STINT_TOKEN, but no database."""

    help = (
        "Print the credential of a grant for kubectl. Set STINT_URL to Stint's URL and STINT_TOKEN to an API"
        " token."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ref", help="reference of the grant, such as GR-7F3K")
        parser.add_argument("target", nargs="?", help="name of the target, if the grant has several")

    def handle(self, *args: Any, **options: Any) -> None:
        words = [word for word in (options["ref"], options["target"]) if word]
        # Django's output wrappers have a file's write method.
        status = main(words, os.environ, self.stdout, self.stderr)  # type: ignore[arg-type]
        if status:
            sys.exit(status)

"""`manage.py gateway` without some defenses of the PostgreSQL gateway, so that the others can be tested.

The environment variable `TEST_WITHOUT` has the names of the defenses in `DEFENSES` to do without.
"""

import os
import sys

import django
from django.core.management import execute_from_command_line


def fetch_every_name() -> None:
    """Send FETCH, MOVE and CLOSE for every name, and not only for cursors that the client has opened."""
    from sessions_app.gateways.postgres.cursors import Cursor
    from sessions_app.gateways.postgres.executing import Executing

    async def open_cursor(self, passes):
        return Cursor(None)

    Executing._open_cursor = open_cursor


def bind_at_once() -> None:
    """Bind portals under their names with the Bind message, and not only with an Execute that was allowed."""
    from sessions_app.gateways.postgres.answers import Expected
    from sessions_app.gateways.postgres.handling import Handling
    from sessions_app.gateways.postgres.prepared import Portal

    def opened(self, entry, asked, does):
        undo = self._names.open(asked.portal, Portal(asked.portal, does, entry.hidden))
        self.send(asked.encoded(asked.portal, asked.statement, entry.hidden), Expected("bind", undo=undo))

    Handling._open = opened


DEFENSES = {"cursors": fetch_every_name, "late binding": bind_at_once}

if __name__ == "__main__":
    django.setup()
    for name in os.environ["TEST_WITHOUT"].split(","):
        DEFENSES[name]()
    execute_from_command_line(sys.argv)

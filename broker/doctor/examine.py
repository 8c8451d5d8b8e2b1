"""Run all checks, one part after another. If a part fails, the failure becomes a finding, and the
other parts are still checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DatabaseError, connections

from broker.doctor import machine, public, servers, service
from broker.doctor.finding import Examination, Finding, wrong
from broker.kernel.errors import StintError

PARTS: dict[str, tuple[Examination, ...]] = {
    "settings": (machine.of_settings,),
    "folders": (machine.of_folders, machine.of_store, machine.of_archives),
    "database": (servers.of_database, machine.of_clock),
    "queue": (servers.of_queue,),
    "mail": (servers.of_mail,),
    "pages": (public.of_pages,),
    "processes": (service.of_processes, service.of_record),
    "targets": (service.of_targets,),
}


def examine(parts: tuple[str, ...]) -> Iterator[Finding]:
    """Yield the findings of the named parts. An unreachable database is reported once."""
    gone = False
    for examination in (one for part in parts for one in PARTS[part]):
        try:
            yield from examination()
        except DatabaseError as error:
            connections.close_all()
            if not gone:
                yield _gone(error)
            gone = True
        except (StintError, OSError, ValueError) as error:
            yield wrong(
                examination.__name__.removeprefix("of_"),
                f"can't be checked: {error}",
                fix="Fix this first, then run `manage.py doctor` again.",
            )


def _gone(error: DatabaseError) -> Finding:
    return wrong(
        "database",
        f"did not respond: {' '.join(str(error).split()) or type(error).__name__}",
        why=(
            "Without the database, no access starts, gateways close all sessions after 10 s, and other "
            "parts can't be checked."
        ),
        fix="Start PostgreSQL, and check DATABASE_URL.",
    )

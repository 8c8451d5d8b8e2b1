"""`python -m tests.upgrade`: save a database of this version, from which tests migrate to later versions.

Run it when a version is released, and before migrations are added. The file has the schema and little data: a
live and an ended grant, a pending request, and a signed record.
"""

import gzip
import importlib
import os
import subprocess
from pathlib import Path

FIXTURE = Path(__file__).parent / "fixtures" / "previous.sql.gz"
# Long after any run of the tests.
_UNTIL = "2099-01-01"


def main() -> None:
    """Write the file."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "broker.settings"
    environment = importlib.import_module("tests.environment")
    import django

    django.setup()
    from tests.support.databases import own_database

    with own_database() as name:
        _fill(name)
        tools = environment.POSTGRES.binaries.postgres.parent
        url = environment.POSTGRES.url("stint_owner", name)
        dump = subprocess.run(
            [tools / "pg_dump", "--restrict-key=stint", url], capture_output=True, check=True
        )
    FIXTURE.parent.mkdir(exist_ok=True)
    FIXTURE.write_bytes(gzip.compress(dump.stdout, mtime=0))
    print(f"{FIXTURE.stat().st_size:,} bytes in {FIXTURE}")


def _fill(name: str) -> None:
    import psycopg

    from broker.audit.checkpoint import make_checkpoint
    from broker.kernel import clock
    from sessions_app.connectors.fake import FakeConnector
    from tests.environment import POSTGRES
    from tests.support.world import acts
    from tests.support.world.fakes import serving
    from tests.support.world.replay import world_again

    clock.sync()
    world, fake = world_again(clock.now(), fresh=True), FakeConnector(kind="ssh")
    with serving(lambda: fake):
        ended = world.grant()
        acts.revoke(ended)
        acts.undo(ended, now=clock.now())
        live = world.grant()
        world.request()
    make_checkpoint(now=clock.now())
    with psycopg.connect(POSTGRES.url("stint_owner", name)) as owner:
        for table in ("sessions_app_grant", "sessions_app_accessrequest"):
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        owner.execute("UPDATE sessions_app_grant SET expires_at = %s WHERE id = %s", [_UNTIL, live.pk])
        owner.execute(
            "UPDATE sessions_app_accessrequest SET lapses_at = %s WHERE state = 'pending'", [_UNTIL]
        )
        for table in ("sessions_app_grant", "sessions_app_accessrequest"):
            owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


if __name__ == "__main__":
    main()

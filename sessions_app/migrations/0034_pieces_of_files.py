"""Pieces of files are deleted with their file, and files with their order. Pieces are in no backup of the
write-ahead log, and not on standbys.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from broker.audit.migrations._schema import run

# A lost piece only makes its holder start again. Encrypted bytes can't be compressed.
_PIECES = """
ALTER TABLE {schema}.sessions_app_filepiece SET UNLOGGED, ALTER COLUMN sealed SET STORAGE EXTERNAL
"""
_BACK = "ALTER TABLE {schema}.sessions_app_filepiece SET LOGGED"
_KEYS = (
    ("sessions_app_orderedfile", "order_id", "sessions_app_commandorder"),
    ("sessions_app_filepiece", "file_id", "sessions_app_orderedfile"),
)


def _keys(then: str) -> list[str]:
    """Return statements that replace the constraints, whose names Django has chosen. ``then`` is what a
    deletion does.
    """
    return [
        f"""
DO $$
DECLARE v_name text;
BEGIN
    SELECT conname INTO STRICT v_name FROM pg_constraint WHERE contype = 'f'
       AND conrelid = '{{schema}}.{table}'::regclass AND confrelid = '{{schema}}.{other}'::regclass;
    EXECUTE format('ALTER TABLE {{schema}}.{table} DROP CONSTRAINT %I, ADD CONSTRAINT %I FOREIGN KEY'
        ' ({column}) REFERENCES {{schema}}.{other} (id) {then} DEFERRABLE INITIALLY DEFERRED', v_name, v_name);
END $$
"""  # noqa: S608  # fixed text
        for table, column, other in _KEYS
    ]


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Let deletions cascade, and take the pieces out of the write-ahead log."""
    run(editor, _PIECES, *_keys("ON DELETE CASCADE"))


def restore(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Restore the constraints and the write-ahead log."""
    run(editor, _BACK, *_keys(""))


class Migration(migrations.Migration):
    """Two tables."""

    dependencies = [("sessions_app", "0033_ordered_files")]

    operations = [migrations.RunPython(install, restore)]

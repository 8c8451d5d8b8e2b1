"""Pieces of files are deleted with their file, and files with their order. Pieces are in no backup of the
write-ahead log, and not on standbys.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from broker.audit.migrations._schema import run

_FILES = """
ALTER TABLE {schema}.sessions_app_orderedfile ADD CONSTRAINT file_of_order
    FOREIGN KEY (order_id) REFERENCES {schema}.sessions_app_commandorder (id) ON DELETE CASCADE
"""
# A lost piece only makes its holder start again. Encrypted bytes can't be compressed.
_PIECES = """
ALTER TABLE {schema}.sessions_app_filepiece SET UNLOGGED,
    ALTER COLUMN sealed SET STORAGE EXTERNAL,
    ADD CONSTRAINT piece_of_file
    FOREIGN KEY (file_id) REFERENCES {schema}.sessions_app_orderedfile (id) ON DELETE CASCADE
"""
_BACK = """
ALTER TABLE {schema}.sessions_app_filepiece DROP CONSTRAINT piece_of_file, SET LOGGED;
ALTER TABLE {schema}.sessions_app_orderedfile DROP CONSTRAINT file_of_order
"""


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Add the constraints, and take the pieces out of the write-ahead log."""
    run(editor, _FILES, _PIECES)


def restore(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Remove the constraints."""
    run(editor, _BACK)


class Migration(migrations.Migration):
    """Two tables."""

    dependencies = [("sessions_app", "0033_ordered_files")]

    operations = [migrations.RunPython(install, restore)]

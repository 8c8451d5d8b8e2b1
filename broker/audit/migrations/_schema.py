"""Runs the SQL of the record's migrations in the schema that the connection creates in."""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def run(editor: BaseDatabaseSchemaEditor, *parts: str) -> None:
    """Run each part with `{schema}` replaced by the quoted name of the current schema."""
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        schema = cursor.fetchone()[0]
        for part in parts:
            cursor.execute(part.replace("{schema}", schema))

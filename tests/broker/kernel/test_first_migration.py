"""Tables that are made all at once have what their models say."""

import os
import subprocess
import sys

import pytest
from django.apps import apps
from django.db import connection

from tests.environment import POSTGRES, ROOT
from tests.support.databases import drop_database, owner

MODELS = [
    model
    for label in ("accounts", "audit", "sessions_app")
    for model in apps.get_app_config(label).get_models()
]


@pytest.mark.parametrize(
    "model", [one for one in MODELS if one._meta.managed], ids=lambda model: model.__name__
)
def test_a_table_has_the_columns_keys_constraints_and_indexes_of_its_model(db, model):
    with connection.cursor() as cursor:
        columns = {
            one.name for one in connection.introspection.get_table_description(cursor, model._meta.db_table)
        }
        made = connection.introspection.get_constraints(cursor, model._meta.db_table)
    assert columns == {field.column for field in model._meta.local_concrete_fields}
    named = {one.name for one in (*model._meta.indexes, *model._meta.constraints)}
    assert named <= {*made}
    keys = {tuple(one["columns"]): one["foreign_key"][0] for one in made.values() if one["foreign_key"]}
    assert keys == {
        (field.column,): field.related_model._meta.db_table
        for field in model._meta.local_concrete_fields
        if field.remote_field and getattr(field, "db_constraint", False)
    }


def manage(name: str, *words: str) -> None:
    """Run a command of Stint on a database."""
    urls = {
        f"DATABASE{of}_URL": POSTGRES.url(role, name)
        for of, role in (("", "stint_app"), ("_OWNER", "stint_owner"))
    }
    subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env={**os.environ, **urls}, check=True)


@pytest.mark.smoke
def test_an_empty_database_is_complete_after_one_command():
    name = f"stint_{os.getpid()}_empty"
    owner(f"CREATE DATABASE {name}")
    try:
        manage(name, "migrate", "--no-input", "--verbosity", "0")
        manage(name, "migrate", "--check")
    finally:
        drop_database(name)

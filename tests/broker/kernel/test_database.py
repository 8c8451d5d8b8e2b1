"""Each process has a name of its own where it is connected."""

import os

import psycopg
import pytest
from django.conf import settings

from broker.kernel.database import conninfo, name_process

PID = os.getpid()


@pytest.fixture(autouse=True)
def _options(monkeypatch):
    monkeypatch.setitem(settings.DATABASES["default"]["OPTIONS"], "application_name", "stint")


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("edge", "stint gateway edge"),
        ("", f"stint gateway {PID}@"),
        ("e" * 80, f"stint gateway {'e' * 42} listen"),
    ],
    ids=["by its name", "by its process and host", "shortened"],
)
def test_the_database_lists_connections_by_process(db, name, listed):
    name_process("gateway", name)
    with psycopg.connect(conninfo()) as connection:
        (found,) = connection.execute("SELECT current_setting('application_name')").fetchone()
    assert found.startswith(listed)
    assert len(found) <= 63


def test_a_letter_of_several_bytes_is_not_cut_in_two():
    name_process("gateway", "e" + "é" * 40)
    assert settings.DATABASES["default"]["OPTIONS"]["application_name"] == "stint gateway e" + "é" * 20

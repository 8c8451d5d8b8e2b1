"""`postgres_target_setup`, as an administrator runs it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sessions_app.connectors import registry
from sessions_app.connectors.postgres.connector import TYPE

CLUSTER = """
name: shop
kind: postgres
summary: The shop's database
environment: production
risk: high
connection: {user: broker_of_stint, password: canary, read_statements: true, database: shop}
targets:
  - {name: db-1, address: db.example.com}
"""


@pytest.fixture
def cluster(world):
    registry.register(TYPE)
    world.apply({"clusters/shop.yaml": CLUSTER})


def run(*words: str) -> str:
    out = StringIO()
    call_command("postgres_target_setup", *words, stdout=out)
    return out.getvalue()


def test_the_set_up_is_for_the_role_of_the_cluster(cluster):
    said = run("shop", "--template", "reporting_reader")
    assert 'ALTER ROLE "broker_of_stint" LOGIN NOSUPERUSER CREATEROLE' in said
    assert 'GRANT "reporting_reader" TO "broker_of_stint" WITH ADMIN' in said
    assert 'GRANT pg_read_all_stats TO "broker_of_stint"' in said
    assert "EVENT TRIGGER" not in said
    assert "canary" not in said


def test_the_login_trigger_is_printed_when_it_is_asked_for(cluster):
    assert "CREATE EVENT TRIGGER stint_refuse_ended_grants ON login" in run("shop", "--login-trigger")


def test_a_cluster_that_is_not_there_and_a_name_that_breaks_out_are_told(cluster):
    for words, said in (
        (["web"], "PostgreSQL cluster web not found"),
        (["shop", "--template", "a$stint$"], "is not a valid role name"),
    ):
        with pytest.raises(CommandError, match=said.replace("$", r"\$")):
            run(*words)

"""Connectors with their keys."""

import time

import pytest
from django.db import connection

from broker.kernel import clock
from sessions_app.connectors.base import ConnectorError
from sessions_app.operations.targets.connect import connector_for
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.keys import SSH_USER_CA, private_key_of


def test_an_unknown_kind_has_no_connector(db):
    for kind in ("", "telnet", "SSH"):
        with pytest.raises(ConnectorError) as refusal:
            connector_for(kind)
        assert refusal.value.permanent


def test_without_an_authority_the_error_says_how_to_make_one(db):
    with pytest.raises(ConnectorError, match=r"manage\.py ssh_ca"):
        connector_for("ssh")


def test_with_an_authority_there_is_a_connector_that_shows_no_key(db, now):
    secret = private_key_of(ensure_authority(SSH_USER_CA, now=now)).decode().splitlines()[3]
    connector = connector_for("ssh")
    assert connector.kind == "ssh"
    assert secret not in repr(connector) + repr(vars(connector))


def test_an_authority_that_can_not_be_unsealed_is_an_error_that_says_so(db, now, settings):
    ensure_authority(SSH_USER_CA, now=now)
    settings.SECRET_KEY = "another"
    with pytest.raises(ConnectorError, match="STINT_SECRET_KEY"):
        connector_for("ssh")


def test_certificates_follow_the_database_and_not_a_node_whose_clock_is_wrong(stint_db, owner_connection):
    ensure_authority(SSH_USER_CA, now=clock.now())
    # The database is an hour ahead, which is the same as a node that is an hour behind.
    owner_connection.execute("""
        CREATE SCHEMA ahead; GRANT USAGE ON SCHEMA ahead TO stint_app;
        CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql
            AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$
    """)
    with connection.cursor() as cursor:
        cursor.execute("SET search_path = ahead, pg_catalog, public")
    try:
        clock.sync()
        seconds = connector_for("ssh")._clock() - time.time()
    finally:
        connection.close()
        clock.sync()
    assert 3500 < seconds < 3700

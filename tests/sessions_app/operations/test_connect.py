"""Connectors with their keys."""

from __future__ import annotations

import pytest

from sessions_app.connectors.base import ConnectorError
from sessions_app.operations.connect import connector_for
from sessions_app.operations.ensure_ssh_ca import ensure_ssh_ca


def test_an_unknown_kind_has_no_connector(db):
    for kind in ("", "telnet", "SSH"):
        with pytest.raises(ConnectorError) as refusal:
            connector_for(kind)
        assert refusal.value.permanent


def test_without_an_authority_the_error_says_how_to_make_one(db):
    with pytest.raises(ConnectorError, match=r"manage\.py ssh_ca"):
        connector_for("ssh")


def test_with_an_authority_there_is_a_connector_that_shows_no_key(db, now):
    from sessions_app.queries.authority import ssh_ca_private_key

    secret = ssh_ca_private_key(ensure_ssh_ca(now=now)).decode().splitlines()[3]
    connector = connector_for("ssh")
    assert connector.kind == "ssh"
    assert secret not in repr(connector) + repr(vars(connector))


def test_an_authority_that_can_not_be_unsealed_is_an_error_that_says_so(db, now, settings):
    ensure_ssh_ca(now=now)
    settings.SECRET_KEY = "another"
    with pytest.raises(ConnectorError, match="STINT_SECRET_KEY"):
        connector_for("ssh")

"""What clients may ask for when they connect."""

import pytest

from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.admission import parse_wish
from sessions_app.gateways.postgres.startup import StartupRefused, read_startup
from sessions_app.gateways.postgres.wire import ProtocolError


def asked(**parameters: str):
    return read_startup(wire.startup(parameters)[4:])


def test_a_client_names_its_grant_its_database_and_settings():
    found = asked(user="GR-7F3K", database="shop", application_name="psql", client_encoding="UTF8")
    assert (found.user, found.database, found.settings) == ("GR-7F3K", "shop", {"application_name": "psql"})


def test_without_a_database_libpq_sends_the_users_name():
    assert asked(user="GR-7F3K", database="GR-7F3K").database == ""


def test_settings_can_be_given_as_options():
    found = asked(user="x", options="-c lock_timeout=5s --statement_timeout=10s")
    assert found.settings == {"lock_timeout": "5s", "statement_timeout": "10s"}


@pytest.mark.parametrize(
    "parameters",
    [
        {"search_path": "public"},
        {"role": "postgres"},
        {"session_authorization": "postgres"},
        {"standard_conforming_strings": "off"},
        {"client_encoding": "LATIN1"},
        {"replication": "database"},
        {"options": "-c search_path=public"},
        {"options": "-c role=postgres"},
        {"options": "-d 5"},
        {"options": "-c options=-crole=x"},
    ],
)
def test_nothing_that_changes_how_statements_are_read_or_who_runs_them_can_be_chosen(parameters):
    with pytest.raises(StartupRefused):
        asked(user="x", **parameters)


@pytest.mark.parametrize("version", [2 << 16, 4 << 16, 0, -1])
def test_only_version_3_is_spoken(version):
    with pytest.raises(StartupRefused, match="version 3"):
        read_startup(version.to_bytes(4, "big", signed=True) + b"\0")


def test_later_minor_versions_and_extensions_are_negotiated_away():
    content = wire.startup({"user": "x", "_pq_.some": "1"})[4:]
    found = read_startup((3 << 16 | 2).to_bytes(4, "big") + content[4:])
    assert found.newer
    assert (found.unknown, found.settings) == (("_pq_.some",), {})


@pytest.mark.parametrize("rest", [b"", b"user\0x\0", b"user\0x\0user\0y\0\0", b"user\0x\0\0more"])
def test_a_message_that_is_cut_off_or_says_things_twice_is_refused(rest):
    with pytest.raises(ProtocolError):
        read_startup(wire.VERSION_3.to_bytes(4, "big") + rest)


@pytest.mark.parametrize(
    ("user", "wish"),
    [
        ("GR-7F3K", ("GR-7F3K", "")),
        ("gr-7f3k.DB-1", ("GR-7F3K", "db-1")),
        ("GR-7F3K.", ("", "")),
        ("GR-7F3K.a.b", ("", "")),
        ("postgres", ("", "")),
        ("", ("", "")),
        ("GR-7F3K\n", ("", "")),
    ],
)
def test_a_user_name_is_a_grant_and_perhaps_a_target(user, wish):
    found = parse_wish(user)
    assert (found.grant_ref, found.target) == wish

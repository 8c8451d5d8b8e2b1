"""Passwords are masked in statements, and nothing that a statement does is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.connectors.postgres.masked import MASK, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ALTER ROLE me PASSWORD 'canary'", "ALTER ROLE me PASSWORD '…'"),
        (
            "alter user me with encrypted password 'canary''s' valid until '2030-01-01'",
            "alter user me with encrypted password '…' valid until '2030-01-01'",
        ),
        ("CREATE GROUP g PASSWORD $$my canary phrase$$", "CREATE GROUP g PASSWORD '…'"),
        ("ALTER ROLE me PASSWORD $a$x $$ canary$a$ NOLOGIN", "ALTER ROLE me PASSWORD '…' NOLOGIN"),
        ("ALTER ROLE me PASSWORD E'a \\'canary'", "ALTER ROLE me PASSWORD '…'"),
        ("ALTER ROLE me PASSWORD E'a'\n'b\\'canary'", "ALTER ROLE me PASSWORD '…'"),
        ("ALTER ROLE me PASSWORD U&'can\\0061ry'", "ALTER ROLE me PASSWORD '…'"),
        ("ALTER ROLE me PASSWORD/* ' */'canary'", "ALTER ROLE me PASSWORD/* ' */'…'"),
        ("ALTER ROLE me PASSWORD -- '\n'can'\n'ary'", "ALTER ROLE me PASSWORD -- '\n'…'\n'…'"),
        ("/* /* */ ' */ALTER/**/ROLE me PASSWORD 'canary'", "/* /* */ ' */ALTER/**/ROLE me PASSWORD '…'"),
        ("ALTER ROLE me PASSWORD = 'canary'", "ALTER ROLE me PASSWORD = '…'"),
        ("ALTER ROLE me PASWORD 'canary'", "ALTER ROLE me PASWORD '…'"),
        ("ALTER ROLE me PASSWORD 'canary", "ALTER ROLE me PASSWORD '…'"),
        ("ALTER ROLE me PASSWORD $$canary", "ALTER ROLE me PASSWORD '…'"),
        (
            "SELECT 1; ALTER ROLE me PASSWORD 'canary'; SELECT 'password'",
            "SELECT 1; ALTER ROLE me PASSWORD '…'; SELECT 'password'",
        ),
        (
            "CREATE USER MAPPING FOR me SERVER s OPTIONS (user 'x', password 'canary')",
            "CREATE USER MAPPING FOR me SERVER s OPTIONS (user '…', password '…')",
        ),
        ("ALTER SUBSCRIPTION s CONNECTION 'host=h password=canary'", "ALTER SUBSCRIPTION s CONNECTION '…'"),
    ],
)
def test_each_way_to_write_a_password_is_masked_to_its_end(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "/*password '*/ DELETE FROM app.orders WHERE true -- '",
        "/*password*/DELETE/**/FROM/**/app.orders",
        "-- ALTER ROLE me PASSWORD '\nDELETE FROM app.orders -- '",
        "/* ALTER ROLE me PASSWORD ' */ DELETE FROM app.orders -- '",
        "SELECT 'ALTER ROLE me PASSWORD ', drop_all(), ''",
        "SELECT 1 AS \"; ALTER ROLE me PASSWORD \", drop_all(), 'x'",
        "SELECT $$; ALTER ROLE me PASSWORD $$, drop_all(), 'x'",
        "SELECT a$$, 'b' FROM c$$; DELETE FROM t",
        "ALTER ROLE me SET search_path = evil, 'password'",
        "ALTER ROLE all IN DATABASE shop SET role = 'password'",
        "ALTER ROLE U&\"m\\0065\" SET search_path = 'evil'",
        "ALTER ROLE me VALID UNTIL 'infinity'",
        "COMMENT ON ROLE me IS 'password'",
        # What is a string, with standard_conforming_strings off and on, decides what is a statement.
        r"SELECT 'a\'' , '; ALTER ROLE me PASSWORD ', drop_all(), ''",
    ],
)
def test_nothing_that_a_statement_does_is_masked(text):
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    [r"ALTER ROLE me PASSWORD 'a\''; DELETE FROM t; --'", r"ALTER ROLE me PASSWORD 'a\'; DELETE FROM t; --'"],
)
def test_a_string_whose_end_depends_on_a_setting_hides_no_more_than_it_does_under_either(text):
    shown = masked(text)
    assert shown.startswith("ALTER ROLE me PASSWORD '…'")
    assert shown.endswith("; DELETE FROM t; --'")


PIECES = [
    "ALTER ROLE a ",
    "PASSWORD ",
    "'",
    "''",
    "\\",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\n",
    ";",
    "E'",
    '"',
    "SET ",
    "x ",
    "é",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_all_that_is_not_masked_stays_in_its_order(text):
    at = 0
    for part in masked(text).split(MASK):
        at = text.index(part, at) + len(part)


@given(st.lists(st.sampled_from(PIECES[1:]), max_size=14).map("".join))
def test_other_statements_stay_as_they_are(text):
    assert masked(text) == text

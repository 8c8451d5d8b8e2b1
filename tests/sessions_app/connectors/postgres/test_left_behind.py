"""Code and doors that a hostile holder leaves for others to run into are gone with the grant, or keep it from
ending.
"""

import psycopg
import pytest

from sessions_app.connectors.base import ConnectorError
from tests.support.servers.postgres_server import each_version

pytestmark = each_version


@pytest.fixture(autouse=True)
def room(shop):
    """A schema in which a template may make things, on the way of whoever looks there, and somebody who
    passes by.
    """
    shop.admin("CREATE ROLE maker; CREATE ROLE passer LOGIN; GRANT maker TO stint_broker WITH ADMIN OPTION")
    shop.admin(
        "CREATE SCHEMA room; GRANT USAGE ON SCHEMA room TO PUBLIC; GRANT CREATE ON SCHEMA room TO maker,"
        " stint_kept"
    )
    shop.admin("GRANT USAGE ON SCHEMA app TO maker; GRANT SELECT ON app.orders TO maker")
    yield
    shop.admin("DROP SCHEMA room CASCADE")
    shop.admin("REASSIGN OWNED BY maker, passer TO CURRENT_USER; DROP OWNED BY maker, passer CASCADE")
    shop.admin("DROP ROLE maker, passer")


def as_passer(shop, statement: str) -> list[tuple]:
    with shop.server.admin("shop") as session:
        session.execute("SET ROLE passer")
        return session.execute(statement).fetchall()


def told(session: psycopg.Connection, query: str) -> object:
    """What a query answers; the refusal where there is no such thing any more."""
    try:
        (answer,) = session.execute(query).fetchall()[0]
    except psycopg.Error as error:
        return error
    return answer


def refusal(given) -> str | None:
    """Why a revoke does not end the grant; None when it does."""
    try:
        assert given.revoke().gone
    except ConnectorError as error:
        return error.message
    return None


def test_a_function_opens_to_nobody_what_its_maker_copied(shop):
    """Both would belong to the role that keeps what holders made, and the function runs as that role for
    everybody.
    """
    given = shop.give("ROLE maker")
    given.run(
        "CREATE TABLE room.copy AS SELECT * FROM app.orders",
        "CREATE FUNCTION room.door() RETURNS SETOF room.copy SECURITY DEFINER LANGUAGE sql AS 'SELECT * FROM"
        " room.copy'",
    )
    assert len(as_passer(shop, "SELECT * FROM room.door()")) == 2
    evidence = given.revoke()
    assert evidence.gone
    assert "function room.door()" in evidence.detail["databases"]["shop"]["onward_revoked"]
    with pytest.raises(psycopg.Error):
        as_passer(shop, "SELECT * FROM room.door()")
    assert shop.one("SELECT count(*) FROM room.copy") == 2


@pytest.mark.parametrize(
    ("made", "runs"),
    [
        (
            ["CREATE FUNCTION room.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT ''trap'''"],
            "SELECT lower('A'::varchar)",
        ),
        (
            [
                "CREATE FUNCTION room.same(varchar, varchar) RETURNS text LANGUAGE sql AS 'SELECT ''trap'''",
                "CREATE OPERATOR room.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = room.same)",
            ],
            "SELECT 'a'::varchar = 'a'::varchar",
        ),
        (
            ["CREATE OPERATOR room.### (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.textcat)"],
            "SELECT 'tr'::text ### 'ap'::text",
        ),
        (
            [
                "CREATE FUNCTION room.step(text, varchar) RETURNS text LANGUAGE sql AS 'SELECT ''trap'''",
                "CREATE AGGREGATE room.max(varchar) (SFUNC = room.step, STYPE = text)",
            ],
            "SELECT max('a'::varchar)",
        ),
    ],
    ids=["function", "operator", "operator of the server's own", "aggregate"],
)
def test_code_that_lies_in_an_administrators_way_is_gone_with_the_grant(shop, made, runs):
    """A superuser runs it by calling something of the server's own without its schema, whatever its
    privileges say.
    """
    given = shop.give("ROLE maker")
    given.run(*made)
    with shop.server.admin("shop") as admin:
        admin.execute("SET search_path = pg_catalog, room")
        assert told(admin, runs) == "trap"
        assert given.revoke().gone
        assert told(admin, runs) != "trap"
    assert shop.one("SELECT count(*) FROM pg_proc WHERE pronamespace = 'room'::regnamespace") == 0


@pytest.mark.parametrize(
    "others",
    [
        "CREATE VIEW app.seen AS SELECT room.f() AS x",
        "CREATE TABLE app.seen (x int DEFAULT room.f())",
        "CREATE VIEW app.seen AS SELECT * FROM room.own",
        "CREATE TABLE app.seen (x int GENERATED ALWAYS AS (room.f()) STORED)",
    ],
)
def test_what_others_made_with_a_holders_code_is_not_lost_but_told(shop, others):
    given = shop.give("ROLE maker")
    given.run(
        "CREATE FUNCTION room.f() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW room.own AS SELECT room.f() AS x",
    )
    shop.admin(others)
    try:
        said = refusal(given)
        assert said is not None
        assert "app.seen" in said
        assert "ALTER ROUTINE room.f() OWNER TO" in said
        with pytest.raises(psycopg.OperationalError):
            given.login()
        shop.admin("ALTER ROUTINE room.f() OWNER TO CURRENT_USER")
        assert given.revoke().gone
    finally:
        shop.admin("DROP VIEW app.seen" if "VIEW" in others.split()[1] else "DROP TABLE app.seen")


@pytest.mark.parametrize("code", ["FUNCTION room.door()", "OPERATOR room.### (text, text)"])
def test_code_that_its_maker_added_to_an_extension_is_gone_with_the_grant(shop, code):
    shop.admin("GRANT CREATE ON DATABASE shop TO maker")
    given = shop.give("ROLE maker")
    try:
        given.run(
            "CREATE EXTENSION hstore SCHEMA room",
            "CREATE TABLE room.copy AS SELECT * FROM app.orders",
            "CREATE FUNCTION room.door() RETURNS SETOF room.copy SECURITY DEFINER LANGUAGE sql AS 'SELECT *"
            " FROM room.copy'",
            "CREATE OPERATOR room.### (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.textcat)",
            f"ALTER EXTENSION hstore ADD {code}",
        )
        assert len(as_passer(shop, "SELECT * FROM room.door()")) == 2
        assert refusal(given) is None
        with pytest.raises(psycopg.Error):
            as_passer(shop, "SELECT * FROM room.door()")
        assert shop.one("SELECT count(*) FROM pg_operator WHERE oprname = '###'") == 0
        assert shop.one("SELECT 'a=>1'::room.hstore OPERATOR(room.->) 'a'") == "1"
    finally:
        shop.admin("REVOKE CREATE ON DATABASE shop FROM maker; DROP EXTENSION IF EXISTS hstore CASCADE")


def test_what_was_given_to_a_role_of_the_servers_own_keeps_the_grant_from_ending(shop):
    """Up to PostgreSQL 15 a member makes things in such a role's name, and the server does not write down
    whose they are.
    """
    if shop.major >= 16:
        pytest.skip("a member can't act in the name of the role")
    shop.admin("GRANT CREATE ON SCHEMA room TO PUBLIC")
    given = shop.give("ROLE pg_read_all_data")
    given.run(
        "SET ROLE pg_read_all_data",
        "CREATE FUNCTION room.door() RETURNS SETOF app.invoices SECURITY DEFINER LANGUAGE sql AS 'SELECT *"
        " FROM app.invoices'",
        "CREATE VIEW room.window AS SELECT * FROM app.invoices",
        "GRANT SELECT ON room.window TO PUBLIC",
    )
    as_passer(shop, "SELECT * FROM room.door()")
    with pytest.raises(ConnectorError) as caught:
        given.revoke()
    assert not shop.connector.verify(given.lease).gone
    assert 'pg_read_all_data granted SELECT on view room."window" to public' in caught.value.message
    for fix in (
        (
            "REVOKE EXECUTE ON FUNCTION room.door() FROM PUBLIC CASCADE; ALTER FUNCTION room.door() OWNER TO"
            ' "stint_kept";'
        ),
        (
            'REVOKE SELECT ON TABLE room."window" FROM PUBLIC CASCADE; ALTER VIEW room."window" OWNER TO'
            ' "stint_kept";'
        ),
    ):
        assert fix in caught.value.message
        shop.admin(fix)
    assert given.revoke().gone
    for query in ("SELECT * FROM room.door()", 'SELECT * FROM room."window"'):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_passer(shop, query)


def test_a_server_and_a_mapping_for_others_are_left_to_nobody(shop):
    """Who keeps what holders made may have no server, so that an administrator has to; nobody can use it
    meanwhile, or after.
    """
    shop.admin("CREATE FOREIGN DATA WRAPPER far; GRANT USAGE ON FOREIGN DATA WRAPPER far TO maker")
    try:
        given = shop.give("ROLE maker")
        given.run(
            "CREATE SERVER away FOREIGN DATA WRAPPER far",
            "CREATE USER MAPPING FOR PUBLIC SERVER away OPTIONS (password 'x')",
            "CREATE USER MAPPING FOR CURRENT_USER SERVER away",
            "GRANT USAGE ON FOREIGN SERVER away TO PUBLIC",
        )
        ends_after_whoever_may_has_it(shop, given)
        assert shop.one("SELECT count(*) FROM pg_user_mappings WHERE usename ~ '^stint_[0-9a-f]'") == 0
        assert shop.one("SELECT has_server_privilege('passer', 'away', 'USAGE')") is False
    finally:
        shop.admin("DROP FOREIGN DATA WRAPPER far CASCADE")


def test_what_was_handed_on_is_gone_though_something_else_can_not_be_given_away(shop):
    """Else an administrator, who runs what is told, would make the gift the keeper's own."""
    shop.admin("GRANT CREATE ON DATABASE shop TO maker")
    try:
        given = shop.give("ROLE maker")
        given.run(
            "CREATE PUBLICATION p",
            "CREATE TABLE room.copy AS SELECT * FROM app.orders",
            "GRANT SELECT ON room.copy TO PUBLIC",
            "CREATE FUNCTION room.door() RETURNS SETOF room.copy SECURITY DEFINER LANGUAGE sql AS 'SELECT *"
            " FROM room.copy'",
        )
        ends_after_whoever_may_has_it(shop, given)
        assert shop.one("SELECT has_table_privilege('passer', 'room.copy', 'SELECT')") is False
        assert shop.one("SELECT count(*) FROM pg_proc WHERE proname = 'door'") == 0
    finally:
        shop.admin("DROP PUBLICATION IF EXISTS p; REVOKE CREATE ON DATABASE shop FROM maker")


def ends_after_whoever_may_has_it(shop, given) -> None:
    said = refusal(given)
    assert said is not None
    told_sql = said[said.index("REASSIGN OWNED BY") :]
    shop.admin(told_sql)
    assert given.revoke().gone


@pytest.mark.parametrize(
    "made",
    [
        "CREATE SCHEMA den CREATE TABLE t () CREATE VIEW v AS SELECT 1",
        "CREATE PUBLICATION p",
        "CREATE DOMAIN room.d AS text CHECK (VALUE <> '')",
        "CREATE COLLATION room.c (provider = libc, locale = 'C')",
        "CREATE CONVERSION room.k FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1",
        "CREATE TEXT SEARCH CONFIGURATION room.s (COPY = simple)",
        "CREATE TEXT SEARCH DICTIONARY room.w (TEMPLATE = simple)",
        "CREATE TYPE room.y AS RANGE (subtype = int4)",
        "CREATE MATERIALIZED VIEW room.m AS SELECT * FROM app.orders",
        "CREATE TABLE room.q (x app.orders, y int GENERATED ALWAYS AS (1) STORED)",
        "CREATE EXTENSION hstore SCHEMA room",
    ],
)
def test_whatever_a_holder_makes_the_grant_ends_or_says_what_to_run(shop, made):
    shop.admin("GRANT CREATE ON DATABASE shop TO maker")
    given = shop.give("ROLE maker")
    try:
        given.run(made)
        if (said := refusal(given)) is not None:
            assert "An administrator must run" in said
            shop.admin("GRANT CREATE ON DATABASE shop TO stint_kept")
            assert given.revoke().gone
        assert shop.connector.verify(given.lease).gone
        assert shop.one("SELECT count(*) FROM pg_roles WHERE rolname ~ '^stint_[0-9a-f]{32}'") == 0
    finally:
        shop.admin("REVOKE CREATE ON DATABASE shop FROM maker, stint_kept")
        shop.admin(
            "DROP PUBLICATION IF EXISTS p; DROP SCHEMA IF EXISTS den CASCADE; DROP EXTENSION IF EXISTS hstore"
        )

"""What a hostile holder leaves is undone where it is theirs for certain, and otherwise keeps the grant from
ending.
"""

import re
from dataclasses import replace

import psycopg
import pytest

from sessions_app.connectors.base import ConnectorError, LeaseSpec
from tests.support.servers.postgres_server import each_version

pytestmark = each_version


@pytest.fixture(autouse=True)
def roles(shop):
    """A template that may put triggers, keys and tables somewhere, and somebody to hand things on to."""
    shop.admin(
        "CREATE ROLE worker; CREATE ROLE bystander LOGIN; GRANT worker TO stint_broker WITH ADMIN OPTION"
    )
    shop.admin(
        "CREATE SCHEMA room; GRANT ALL ON SCHEMA room TO worker; GRANT CREATE ON SCHEMA room TO stint_kept"
    )
    shop.admin("GRANT USAGE ON SCHEMA app, room TO worker, bystander")
    shop.admin("GRANT SELECT, INSERT, UPDATE, TRIGGER, REFERENCES ON app.orders TO worker")
    yield
    shop.admin("DROP SCHEMA room CASCADE")
    shop.admin("REASSIGN OWNED BY worker, bystander TO CURRENT_USER; DROP OWNED BY worker, bystander CASCADE")
    shop.admin(
        "DO $$ DECLARE t name; BEGIN FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid ="
        " 'app.orders'::regclass AND NOT tgisinternal LOOP EXECUTE format('DROP TRIGGER %I ON app.orders',"
        " t); END LOOP; END $$"
    )
    shop.admin("DROP ROLE worker, bystander")


STILL = (
    "CREATE TRIGGER still BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION"
    " suppress_redundant_updates_trigger()"
)


def give(shop):
    return shop.give("ROLE worker")


def kept_back(shop, given) -> str:
    """The grant does not end; what is told of it."""
    with pytest.raises(ConnectorError) as caught:
        given.revoke()
    assert caught.value.permanent
    assert "appeared during the grant" in caught.value.message
    assert not shop.connector.verify(given.lease).gone
    with pytest.raises(psycopg.OperationalError):
        given.login()
    return caught.value.message


def told_of(said: str, what: str) -> str:
    """The SQL that is told of one difference."""
    start = said.index(f"{what} (database shop): ") + len(f"{what} (database shop): ")
    return said[start : said.index('OWNER TO "stint_kept";', start)] + 'OWNER TO "stint_kept";'


def ends_after(shop, given, sql: str) -> None:
    """What is told is exact: it is there word for word, and after it the grant ends."""
    assert sql in kept_back(shop, given)
    shop.admin(sql)
    assert given.revoke().gone
    assert shop.connector.verify(given.lease).gone


def may_read(shop, role: str, table: str) -> bool:
    return shop.one("SELECT has_table_privilege(%s, %s, 'SELECT')", role, table) is True


def triggers(shop) -> list[str]:
    return [
        row[0]
        for row in shop.admin(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'app.orders'::regclass AND NOT tgisinternal"
        )
    ]


# What the template could hand on by a right that came later.


def test_what_a_template_gave_to_everybody_by_a_right_that_came_later_keeps_the_grant_from_ending(shop):
    given = give(shop)
    shop.admin("GRANT SELECT ON app.invoices TO worker WITH GRANT OPTION")
    given.run("GRANT SELECT ON app.invoices TO PUBLIC")
    assert may_read(shop, "bystander", "app.invoices")
    ends_after(
        shop, given, 'SET ROLE "worker"; REVOKE SELECT ON TABLE app.invoices FROM PUBLIC CASCADE; RESET ROLE;'
    )
    assert not may_read(shop, "bystander", "app.invoices")


def test_a_column_that_was_given_on_is_found_as_well(shop):
    given = give(shop)
    shop.admin("GRANT SELECT (note) ON app.invoices TO worker WITH GRANT OPTION")
    given.run("GRANT SELECT (note) ON app.invoices TO bystander")
    ends_after(
        shop,
        given,
        'SET ROLE "worker"; REVOKE SELECT (note) ON TABLE app.invoices FROM "bystander" CASCADE; RESET ROLE;',
    )


def test_a_membership_that_was_given_on_is_taken_back_or_told(shop):
    shop.admin("CREATE ROLE treasure")
    given = give(shop)
    try:
        shop.admin("GRANT treasure TO worker WITH ADMIN OPTION")
        given.run("GRANT treasure TO bystander")
        if shop.major >= 16:
            ends_after(shop, given, 'REVOKE "treasure" FROM "bystander" GRANTED BY "worker";')
        else:
            assert given.revoke().detail["onward_memberships_revoked"] == [
                "membership of bystander in treasure"
            ]
        assert shop.one("SELECT pg_has_role('bystander', 'treasure', 'MEMBER')") is False
    finally:
        shop.admin("DROP ROLE treasure")


def test_a_template_that_came_to_own_something_meanwhile_keeps_the_grant_from_ending(shop):
    shop.admin("CREATE TABLE room.late ()")
    given = give(shop)
    shop.admin("ALTER TABLE room.late OWNER TO worker")
    given.run("ALTER TABLE room.late ADD COLUMN mine int", "GRANT ALL ON room.late TO PUBLIC")
    said = kept_back(shop, given)
    assert "on table room.late to public" in said
    shop.admin(told_of(said, "worker owns table room.late"))
    assert given.revoke().gone
    assert not may_read(shop, "bystander", "room.late")


def test_the_sql_of_a_check_takes_back_what_a_template_gave_of_what_it_came_to_own(shop):
    shop.admin("CREATE TABLE room.late ()")
    given = give(shop)
    shop.admin("ALTER TABLE room.late OWNER TO worker")
    given.run("GRANT SELECT ON room.late TO PUBLIC")
    (step,) = [
        one for one in shop.connector.check_commands(shop.place(), [given.spec.commands]) if not one.ok
    ]
    shop.admin(step.fix)
    assert given.revoke().gone
    assert not may_read(shop, "bystander", "room.late")


def test_what_a_role_above_a_template_gave_is_told_before_its_membership(shop):
    """Once the template is no longer a member, nobody looks at what the role gave."""
    shop.admin("CREATE ROLE lender; GRANT USAGE ON SCHEMA app TO lender")
    shop.admin("GRANT SELECT ON app.invoices TO lender WITH GRANT OPTION")
    try:
        given = give(shop)
        shop.admin("GRANT lender TO worker")
        given.run("GRANT SELECT ON app.invoices TO PUBLIC")
        said = kept_back(shop, given)
        taken = 'SET ROLE "lender"; REVOKE SELECT ON TABLE app.invoices FROM PUBLIC CASCADE; RESET ROLE;'
        ended = 'REVOKE "lender" FROM "worker";'
        assert said.index(taken) < said.index(ended)
        shop.admin(taken)
        shop.admin(ended)
        assert given.revoke().gone
        assert not may_read(shop, "bystander", "app.invoices")
    finally:
        shop.admin("DROP OWNED BY lender CASCADE; DROP ROLE lender")


def test_a_template_that_rose_meanwhile_keeps_the_grant_from_ending_where_that_reaches_something(shop):
    shop.admin(
        "CREATE ROLE harmless; CREATE ROLE owner_of_all; CREATE TABLE room.all_of_it (); ALTER TABLE"
        " room.all_of_it OWNER TO owner_of_all"
    )
    try:
        given = give(shop)
        shop.admin("GRANT harmless TO worker")
        assert given.revoke().gone
        given = give(shop)
        shop.admin("GRANT owner_of_all TO worker")
        ends_after(shop, given, 'REVOKE "owner_of_all" FROM "worker";')
    finally:
        shop.admin("DROP TABLE room.all_of_it; DROP ROLE harmless, owner_of_all")


def test_default_privileges_of_a_template_that_were_changed_are_told(shop):
    given = give(shop)
    changed = "ALTER DEFAULT PRIVILEGES FOR ROLE worker IN SCHEMA room GRANT SELECT ON TABLES TO PUBLIC"
    try:
        given.run(changed)
    except psycopg.errors.InsufficientPrivilege:
        # Newer versions want SET ROLE for it; somebody else may still have done it.
        shop.admin(changed)
    ends_after(
        shop,
        given,
        'ALTER DEFAULT PRIVILEGES FOR ROLE "worker" IN SCHEMA "room" REVOKE SELECT ON TABLES FROM PUBLIC;',
    )


def test_default_privileges_that_a_holder_took_from_a_template_are_given_again_by_the_told_sql(shop):
    """DROP OWNED takes them, whoever gave them."""
    later = "ALTER DEFAULT PRIVILEGES {} GRANT SELECT ON TABLES TO worker"
    shop.admin(later.format("IN SCHEMA app"))
    shop.admin(later.format(""), database="other")
    given = give(shop)
    given.run("DROP OWNED BY worker")
    given.run("DROP OWNED BY worker", database="other")
    said = kept_back(shop, given)
    assert "gone: " in said
    assert "(database other)" in said
    owner = shop.admin("SELECT quote_ident(current_user)")[0][0].strip('"')
    shop.admin(
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" GRANT SELECT ON TABLES TO "worker";', database="other"
    )
    ends_after(
        shop,
        given,
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "app" GRANT SELECT ON TABLES TO "worker";',
    )
    shop.admin("CREATE TABLE app.later ()")
    assert may_read(shop, "worker", "app.later")
    shop.admin("DROP TABLE app.later")
    shop.admin("DROP OWNED BY worker", database="other")


def test_default_privileges_of_a_schema_that_was_dropped_meanwhile_are_not_missed(shop):
    shop.admin(
        "CREATE SCHEMA brief; ALTER DEFAULT PRIVILEGES IN SCHEMA brief GRANT SELECT ON TABLES TO worker"
    )
    given = give(shop)
    shop.admin("DROP SCHEMA brief")
    assert given.revoke().gone


# Triggers and keys on tables of others.


def test_a_trigger_with_a_function_of_the_holders_is_undone(shop):
    given = give(shop)
    given.run(
        "CREATE FUNCTION room.spy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW;"
        " END'",
        "CREATE TRIGGER spy BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION room.spy()",
    )
    assert triggers(shop) == ["spy"]
    evidence = given.revoke()
    assert evidence.gone
    assert evidence.detail["databases"]["shop"]["onward_revoked"] == [
        "privileges of public on 1 × function",
        "function room.spy()",
    ]
    assert triggers(shop) == []
    assert shop.one("SELECT count(*) FROM pg_proc WHERE proname = 'spy'") == 0


@pytest.mark.parametrize("way", ["dropped", "kept"])
def test_a_trigger_with_somebody_elses_function_is_told_and_dropped_or_kept_by_its_tables_owner(shop, way):
    given = give(shop)
    given.run(
        STILL,
    )
    said = kept_back(shop, given)
    drop, keep = (
        'DROP TRIGGER "still" ON app.orders;',
        said[said.index("COMMENT ON TRIGGER") :].split(";")[0] + ";",
    )
    assert drop in said
    shop.admin(drop if way == "dropped" else keep)
    assert given.revoke().gone
    assert triggers(shop) == ([] if way == "dropped" else ["still"])


def test_a_holder_cannot_say_that_a_trigger_is_to_be_kept(shop):
    given = give(shop)
    given.run(
        STILL,
    )
    with given.login() as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("COMMENT ON TRIGGER still ON app.orders IS 'keep 00000000000000000000000000000000'")
    kept_back(shop, given)


def test_a_trigger_is_compared_and_kept_by_as_much_of_its_digest_as_nobody_can_forge(shop):
    """A holder can replace a trigger again and again, so that its definition has a short digest of
    another's.
    """
    given = give(shop)
    given.run(
        STILL,
    )
    (digest,) = re.findall(r"IS 'keep ([0-9a-f]+)'", kept_back(shop, given))
    assert len(digest) * 4 >= 128
    shop.admin(f"COMMENT ON TRIGGER still ON app.orders IS 'keep {digest[:16]}'")
    kept_back(shop, given)
    shop.admin(f"COMMENT ON TRIGGER still ON app.orders IS 'keep {digest}'")
    assert given.revoke().gone
    before = give(shop).lease.before
    shop.admin("COMMENT ON TRIGGER still ON app.orders IS NULL")
    stored = [digest for digests in give(shop).lease.before["databases"].values() for digest in digests]
    assert stored
    assert all(len(digest) * 4 >= 128 for digest in stored)
    assert not any(before["databases"].values())


def test_a_trigger_in_a_database_that_names_no_role_of_the_grant_is_found(shop):
    """Everyone can connect to a new database, and everyone may create triggers on this table."""
    shop.admin("CREATE TABLE loose (x int); GRANT TRIGGER ON loose TO PUBLIC", database="other")
    try:
        given = give(shop)
        given.run(
            "CREATE TRIGGER far BEFORE UPDATE ON loose FOR EACH ROW EXECUTE FUNCTION"
            " suppress_redundant_updates_trigger()",
            database="other",
        )
        assert "(database other): DROP TRIGGER" in kept_back(shop, given)
        shop.admin("DROP TRIGGER far ON loose", database="other")
        assert given.revoke().gone
    finally:
        shop.admin("DROP TABLE loose", database="other")


def test_a_trigger_that_was_there_before_is_nothing_new_until_it_is_another(shop):
    shop.admin("CREATE FUNCTION app.honest() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    shop.admin("CREATE TRIGGER old BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.honest()")
    shop.admin("COMMENT ON TRIGGER old ON app.orders IS 'keep this one for ever'")
    try:
        assert give(shop).revoke().gone
        given = give(shop)
        given.run(
            "CREATE OR REPLACE TRIGGER old BEFORE UPDATE ON app.orders FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        )
        assert "trigger old on app.orders" in kept_back(shop, given)
        shop.admin("DROP TRIGGER old ON app.orders")
        assert given.revoke().gone
    finally:
        shop.admin("DROP FUNCTION app.honest() CASCADE")


def test_a_key_that_keeps_others_from_deleting_is_undone(shop):
    given = give(shop)
    given.run(
        "CREATE TABLE room.hostage (id int REFERENCES app.orders)",
        "INSERT INTO room.hostage VALUES (1)",
    )
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        shop.admin("DELETE FROM app.orders WHERE id = 1")
    evidence = given.revoke()
    assert evidence.gone
    assert evidence.detail["databases"]["shop"]["onward_revoked"] == [
        "foreign key hostage_id_fkey of room.hostage"
    ]
    assert (
        shop.one("WITH gone AS (DELETE FROM app.orders WHERE id = 99 RETURNING 1) SELECT count(*) FROM gone")
        == 0
    )
    assert shop.one("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'app.orders'::regclass") == 0


# What the holder's own role made and gave.


def test_what_a_holder_gave_of_what_is_theirs_is_taken_back(shop):
    given = give(shop)
    given.run(
        "CREATE TABLE room.copy AS SELECT * FROM app.orders",
        "GRANT SELECT ON room.copy TO PUBLIC",
        "GRANT UPDATE (id) ON room.copy TO bystander WITH GRANT OPTION",
        "CREATE SEQUENCE room.count",
        "GRANT USAGE ON SEQUENCE room.count TO bystander",
        "SELECT lo_create(815)",
        "GRANT SELECT ON LARGE OBJECT 815 TO PUBLIC",
        "CREATE FUNCTION room.door() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM"
        " app.orders'",
        "GRANT EXECUTE ON FUNCTION room.door() TO bystander",
        "CREATE TYPE room.shade AS ENUM ('a')",
        "GRANT USAGE ON TYPE room.shade TO bystander",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO bystander",
    )
    assert may_read(shop, "bystander", "room.copy")
    evidence = given.revoke()
    assert evidence.gone
    assert "privileges of public on 1 × table" in evidence.detail["databases"]["shop"]["onward_revoked"]
    assert not may_read(shop, "bystander", "room.copy")
    assert shop.one("SELECT has_column_privilege('bystander', 'room.copy', 'id', 'UPDATE')") is False
    assert shop.one("SELECT has_sequence_privilege('bystander', 'room.count', 'USAGE')") is False
    assert shop.admin("SELECT lomacl::text ~ '=r/' FROM pg_largeobject_metadata WHERE oid = 815") in (
        [(False,)],
        [(None,)],
    )
    assert shop.one("SELECT count(*) FROM pg_default_acl WHERE defaclacl::text ~ 'stint_[0-9a-f]{32}'") == 0
    with pytest.raises(psycopg.errors.UndefinedFunction):
        shop.admin("SELECT room.door()")
    shop.admin("SELECT lo_unlink(815)")


def test_what_is_made_in_a_templates_name_is_refused_or_told(shop):
    given = give(shop)
    with given.login() as session:
        if shop.major >= 16:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("SET ROLE worker")
            assert given.revoke().gone
            return
        for statement in (
            "SET ROLE worker",
            "GRANT SELECT ON app.orders TO PUBLIC",
            (
                "CREATE FUNCTION room.door() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*)"
                " FROM app.orders'"
            ),
            "ALTER ROLE worker SET search_path = room",
            "BEGIN",
            "LOCK TABLE room.mine",
            "PREPARE TRANSACTION 'in its name'",
        ):
            if statement == "BEGIN":
                session.execute("CREATE TABLE room.mine ()")
            session.execute(statement)
    said = kept_back(shop, given)
    for fix in (
        'ALTER FUNCTION room.door() OWNER TO "stint_kept";',
        'ALTER ROLE "worker" RESET ALL;',
        "ROLLBACK PREPARED 'in its name';",
        'ALTER TABLE room.mine OWNER TO "stint_kept";',
    ):
        assert fix in said
        with shop.server.admin("shop") as admin:
            admin.execute(fix)
    assert given.revoke().gone


# The look before.


def test_the_look_before_is_taken_once_and_kept_when_roles_are_mended(shop):
    given = give(shop)
    given.run(
        STILL,
    )
    again = shop.connector.provision(replace(given.spec, made=given.lease.made, before=given.lease.before))
    assert again.before == given.lease.before
    kept_back(shop, given)
    shop.admin("DROP TRIGGER still ON app.orders")
    assert given.revoke().gone


def test_what_was_handed_on_in_another_database_is_found_as_well(shop):
    given = give(shop)
    shop.admin(
        "CREATE TABLE far_away (); GRANT SELECT ON far_away TO worker WITH GRANT OPTION", database="other"
    )
    try:
        given.run("GRANT SELECT ON far_away TO PUBLIC", database="other")
        assert "(database other)" in kept_back(shop, given)
        shop.admin("REVOKE ALL ON far_away FROM worker CASCADE", database="other")
        assert given.revoke().gone
    finally:
        shop.admin("DROP TABLE far_away", database="other")


def test_a_grant_that_was_never_ready_compares_nothing(shop):
    given = give(shop)
    lost = LeaseSpec(grant_ref="GR-TEST", mark=given.spec.mark, place=given.spec.place)
    assert shop.connector.revoke(lost).detail["compared"] == "nothing: the grant never became usable"


def test_two_grants_of_one_template_are_not_taken_for_each_other(shop):
    one, two = give(shop), give(shop)
    one.run("CREATE TABLE room.ones ()", "GRANT ALL ON room.ones TO bystander")
    two.run("CREATE TABLE room.twos ()", "GRANT ALL ON room.twos TO bystander")
    assert one.revoke().gone
    assert not may_read(shop, "bystander", "room.ones")
    assert may_read(shop, "bystander", "room.twos")
    assert two.revoke().gone


def test_more_triggers_than_are_kept_are_refused_beforehand(shop):
    shop.admin("CREATE TABLE room.busy (); GRANT TRIGGER ON room.busy TO worker")
    shop.admin(
        "DO $$ BEGIN FOR i IN 1..5001 LOOP EXECUTE format('CREATE TRIGGER t%s BEFORE UPDATE ON room.busy FOR"
        " EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()', i); END LOOP; END $$"
    )
    with pytest.raises(ConnectorError, match="Revoke TRIGGER on tables from the role"):
        give(shop)


def test_triggers_that_are_kept_do_not_crowd_out_one_of_a_holder(shop):
    shop.admin("CREATE TABLE room.busy (); GRANT TRIGGER ON room.busy TO worker")
    given = give(shop)
    shop.admin(
        "DO $$ BEGIN FOR i IN 1..5001 LOOP EXECUTE format('CREATE TRIGGER t%s BEFORE UPDATE ON room.busy FOR"
        " EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()', i); END LOOP; END $$"
    )
    shop.admin(KEEP)
    given.run(
        STILL,
    )
    assert "trigger still on app.orders" in kept_back(shop, given)
    shop.admin("DROP TRIGGER still ON app.orders")
    assert given.revoke().gone


# What an administrator would run for each trigger that is told.
KEEP = """
DO $$ DECLARE t record; BEGIN
    PERFORM set_config('search_path', 'pg_catalog', true);
    FOR t IN SELECT tgname, oid, tgenabled FROM pg_trigger WHERE tgrelid = 'room.busy'::regclass LOOP
        EXECUTE format('COMMENT ON TRIGGER %I ON room.busy IS %L', t.tgname, 'keep ' || left(encode(
            sha256(convert_to(pg_get_triggerdef(t.oid) || t.tgenabled::text, 'UTF8')), 'hex'), 32));
    END LOOP;
END $$
"""

"""Grants on a real server: exactly their privileges, for exactly their time, and nothing after that."""

import datetime as dt
from dataclasses import replace

import pymysql
import pytest

from sessions_app.connectors.base import ConnectorError, LeaseSpec
from sessions_app.connectors.mariadb.names import GrantNames
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import decide
from tests.support.waits import eventually

GRANTS = (
    "SELECT, UPDATE (status) ON shop.orders",
    "SELECT (id) ON shop.invoices",
    "EXECUTE ON FUNCTION shop.total",
)
# A statement, and the line that the command set must allow for it.
TRIED = [
    ("SELECT note FROM shop.orders", "SELECT ON shop.orders"),
    ("UPDATE shop.orders SET status = 'x' WHERE id = 1", "UPDATE (status) ON shop.orders"),
    ("UPDATE shop.orders SET note = 'x'", "UPDATE (note) ON shop.orders"),
    ("DELETE FROM shop.orders", "DELETE ON shop.orders"),
    ("INSERT INTO shop.orders VALUES (9, '', '')", "INSERT ON shop.orders"),
    ("SELECT id FROM shop.invoices", "SELECT (id) ON shop.invoices"),
    ("SELECT note FROM shop.invoices", "SELECT (note) ON shop.invoices"),
    ("SELECT * FROM shop.`Weird; DROP TABLE x`", "SELECT ON shop.`Weird; DROP TABLE x`"),
    ("SELECT id FROM other.orders", "SELECT ON other.orders"),
    ("SELECT shop.total()", "EXECUTE ON FUNCTION shop.total"),
    ("SELECT User FROM mysql.user", "SELECT ON mysql.user"),
]


# What would outlive the grant, or prevent its end.
NEVER = (
    "CREATE TABLE shop.mine (id INT)",
    "GRANT SELECT ON shop.orders TO root",
    "SHUTDOWN",
    "ALTER USER CURRENT_USER() ACCOUNT UNLOCK",
    "ALTER USER CURRENT_USER() REQUIRE NONE",
    "SET GLOBAL event_scheduler = OFF",
    "SELECT * FROM stint.grants",
    "CREATE EVENT shop.later ON SCHEDULE EVERY 1 HOUR DO SELECT 1",
    "SELECT note FROM shop.orders INTO OUTFILE '/tmp/stint-out'",
)


def test_the_server_enforces_what_the_policy_decides(maria):
    given = maria.give(*GRANTS)
    for statement, line in TRIED:
        allowed = isinstance(decide(given.spec.commands, line), Allowed)
        assert _runs(given, statement) == allowed, statement
    for statement in NEVER:
        assert not _runs(given, statement), statement


def _runs(given, statement: str) -> bool:
    try:
        given.run(statement)
    except pymysql.MySQLError:
        return False
    return True


def test_the_server_itself_ends_a_grant_at_its_deadline(maria):
    given = maria.give(seconds=2)
    with given.login() as open_session:
        eventually(
            lambda: (
                maria.one("SELECT count(*) FROM information_schema.processlist WHERE user = %s", given.user)
                == 0
            )
        )
        with pytest.raises(pymysql.MySQLError):
            open_session.cursor().execute("SELECT 1")
    with pytest.raises(pymysql.OperationalError, match="locked"), given.login():
        pass
    assert given.revoke().gone


def test_an_extension_keeps_the_session_and_moves_the_deadline(maria):
    given = maria.give(seconds=3600)
    later = replace(given.spec, expires_at=given.spec.expires_at + dt.timedelta(hours=1))
    with given.login() as session:
        maria.connector.provision(later)
        session.cursor().execute("SELECT 1")
    ends = maria.one(
        "SELECT execute_at FROM information_schema.events WHERE event_name = %s", f"end_{given.lease.mark}"
    )
    assert ends is not None
    assert maria.intact(given.lease)


def test_with_the_scheduler_off_a_gateway_ends_what_the_server_says_is_over(maria):
    over, other = maria.give(), maria.give()
    assert maria.connector.expire(over.lease) == 0
    maria.admin("UPDATE stint.grants SET expires_at = '2020-01-01' WHERE mark = %s", over.lease.mark)
    with over.login() as late, other.login() as session:
        assert maria.connector.expire(over.lease) == 1
        assert maria.connector.expire(other.lease) == 0
        session.cursor().execute("SELECT 1")
        with pytest.raises(pymysql.MySQLError):
            late.cursor().execute("SELECT 1")


def test_a_revoke_cuts_running_statements_and_leaves_no_login(maria):
    given = maria.give("SELECT, UPDATE ON shop.orders")
    with given.login() as one, given.login():
        one.cursor().execute("SET autocommit = 0")
        one.cursor().execute("UPDATE shop.orders SET note = 'held' WHERE id = 2")
        evidence = given.revoke()
    assert evidence.gone
    assert evidence.detail["sessions_ended"] == 2
    assert maria.one("SELECT note FROM shop.orders WHERE id = 2") == "y"
    with pytest.raises(pymysql.OperationalError), given.login():
        pass


def test_a_prepared_transaction_that_outlives_its_session_is_reported_with_its_fix(maria):
    given = maria.give("SELECT, UPDATE ON shop.orders")
    with given.login() as session, session.cursor() as cursor:
        for statement in (
            "XA START 'held'",
            "UPDATE shop.orders SET note = 'z' WHERE id = 1",
            "XA END 'held'",
            "XA PREPARE 'held'",
        ):
            cursor.execute(statement)
    evidence = given.revoke()
    assert not evidence.gone
    assert "XA ROLLBACK 'held';" in evidence.left
    others = replace(given.lease, place=maria.place(xa_by_others=True))
    assert maria.connector.verify(others).gone
    maria.admin("XA ROLLBACK 'held'")
    assert maria.connector.verify(given.lease).gone


def test_what_someone_adds_or_takes_is_drift_and_is_repaired(maria):
    given = maria.give()
    account = GrantNames(given.lease.mark).account.replace("%", "%%")
    for change in (
        f"GRANT DELETE ON shop.orders TO {account}",
        f"GRANT SELECT ON other.* TO {account}",
        f"GRANT RELOAD ON *.* TO {account}",
        f"REVOKE SELECT ON shop.orders FROM {account}",
    ):
        maria.admin(change)
        assert maria.intact(given.lease) is False, change
        maria.connector.provision(given.spec)
        assert maria.intact(given.lease), change
    assert given.run("SELECT count(*) FROM shop.orders") == [(2,)]


def test_stint_cannot_grant_what_its_account_may_not(maria):
    spec = maria.spec("SELECT ON other.orders")
    with pytest.raises(ConnectorError) as caught:
        maria.connector.provision(spec)
    assert caught.value.permanent
    assert (
        "GRANT SELECT ON TABLE `other`.`orders` TO 'stint_broker'@'%' WITH GRANT OPTION;"
        in caught.value.message
    )
    assert maria.connector.revoke(LeaseSpec(grant_ref="GR-TEST", mark=spec.mark, place=spec.place)).gone


def test_an_expired_grant_is_not_provisioned(maria):
    with pytest.raises(ConnectorError, match="has expired"):
        maria.connector.provision(maria.spec(seconds=-1))


def test_an_untrusted_certificate_or_a_wrong_password_is_refused(maria):
    for place in (maria.place(ca=""), maria.place(password="wrong")):
        with pytest.raises(ConnectorError) as caught:
            maria.connector.observe(place)
        assert caught.value.permanent


def test_the_check_names_what_is_missing(maria):
    maria.admin("SET GLOBAL event_scheduler = OFF")
    maria.admin("GRANT SELECT ON other.* TO PUBLIC")
    try:
        wrong = {one.name for one in maria.connector.check(maria.place()) if not one.ok}
    finally:
        maria.admin("REVOKE SELECT ON other.* FROM PUBLIC")
        maria.admin("SET GLOBAL event_scheduler = ON")
    assert wrong == {"deadline", "everyone"}


def test_the_check_of_command_sets_names_missing_tables(maria):
    from tests.support.servers.mariadb_server import commands

    (step,) = maria.connector.check_commands(
        maria.place(), [commands("SELECT ON shop.gone", "SELECT ON shop.orders")]
    )
    assert not step.ok
    assert "shop.gone" in step.detail
    assert "shop.orders" not in step.detail

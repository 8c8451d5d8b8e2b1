"""A check names what is missing and the SQL that mends it; the set-up that administrators get is enough, and
no more.
"""

import contextlib

import psycopg
import pytest
from psycopg import sql

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.setup import login_trigger
from tests.support.servers.postgres_server import each_version
from tests.support.waits import eventually

pytestmark = [each_version, pytest.mark.timing]


@pytest.fixture
def weak(shop):
    """A role that may log in and nothing else."""
    shop.admin("DROP ROLE IF EXISTS weak")
    shop.admin("CREATE ROLE weak LOGIN")
    with shop.server.admin() as admin:
        admin.execute(sql.SQL("ALTER ROLE weak PASSWORD {}").format(shop.broker_password))
    yield shop.place(user="weak", read_statements=True)
    shop.admin("DROP ROLE weak")


def steps(shop, place) -> dict:
    return {step.name: step for step in shop.connector.check(place)}


def test_what_is_missing_is_named_and_its_sql_mends_it(shop, weak):
    seen = steps(shop, weak)
    missing = [step for step in seen.values() if not step.ok]
    assert {step.name for step in missing} == {
        "creates roles",
        "terminates sessions",
        "reads statements",
        "owner of holders' objects",
    }
    for step in missing:
        shop.admin(step.fix)
    assert all(step.ok for step in shop.connector.check(weak))
    shop.admin("REVOKE stint_kept, pg_signal_backend, pg_read_all_stats FROM weak")


def test_a_superuser_is_told_that_it_can_do_more_than_it_needs(shop, weak):
    shop.admin("ALTER ROLE weak SUPERUSER")
    step = steps(shop, weak)["not a superuser"]
    assert step.ok
    assert step.fix == 'ALTER ROLE "weak" NOSUPERUSER CREATEROLE;'


def test_a_database_that_stint_may_not_connect_to_is_named(shop):
    shop.admin("REVOKE CONNECT ON DATABASE other FROM PUBLIC")
    step = steps(shop, shop.place())["database"]
    assert not step.ok
    assert step.fix == 'GRANT CONNECT ON DATABASE "other" TO "stint_broker";'
    shop.admin(step.fix)
    assert all(step.ok for step in shop.connector.check(shop.place()))
    shop.admin(
        "GRANT CONNECT ON DATABASE other TO PUBLIC; REVOKE CONNECT ON DATABASE other FROM stint_broker"
    )


def test_a_wrong_login_and_a_missing_database_are_told_with_what_to_do(shop):
    (step,) = shop.connector.check(shop.place(password="wrong"))
    assert (step.name, step.ok) == ("login", False)
    assert "user name and password" in step.fix
    (step,) = shop.connector.check(shop.place(database="nothing"))
    assert "Set dbname" in step.fix
    assert shop.broker_password not in str(shop.connector.check(shop.place()))


def test_encryption_is_told_as_it_is(shop):
    step = steps(shop, shop.place())["encryption"]
    assert ("verified server name" in step.detail) == bool(shop.server.authority)
    plain = steps(shop, shop.place(sslmode="disable"))["encryption"]
    assert "not encrypted" in plain.detail
    assert "verify-full" in plain.fix
    if not shop.server.authority:
        (refused,) = shop.connector.check(shop.place(sslmode="require"))
        assert "enable ssl" in refused.fix


def test_an_owner_that_could_do_something_is_refused(shop):
    step = steps(shop, shop.place(reassign_to="stint_broker"))["owner of holders' objects"]
    assert not step.ok
    assert "reassign_to" in step.fix
    step = steps(shop, shop.place(reassign_to="nobody_knows"))["owner of holders' objects"]
    assert step.fix == 'CREATE ROLE "nobody_knows" NOLOGIN; GRANT "nobody_knows" TO "stint_broker";'


def test_the_broker_of_the_set_up_is_no_superuser_and_reads_no_table(shop):
    asked = (
        "SELECT rolsuper, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname ="
        " 'stint_broker'"
    )
    assert shop.admin(asked) == [(False, False, False, False)]
    if shop.major >= 16:
        assert shop.one("SELECT pg_has_role('stint_broker', 'reporting_reader', 'USAGE')") is False


def test_the_login_trigger_refuses_who_is_over_where_no_password_is_asked(shop):
    if shop.major < 17:
        with pytest.raises(psycopg.Error):
            shop.admin(login_trigger())
        return
    shop.admin(login_trigger())
    shop.admin(login_trigger())
    hba = shop.server.data / "pg_hba.conf"
    before = hba.read_text()
    given = shop.give()

    def let_in() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            given.login(password="none").close()
            return True
        return False

    try:
        hba.write_text(f"host all {given.role} 127.0.0.1/32 trust\n" + before)
        shop.admin("SELECT pg_reload_conf()")
        eventually(let_in)
        shop.server.login("stint_broker", shop.broker_password, "shop").close()
        shop.admin(f"ALTER ROLE {given.role} VALID UNTIL 'now'")
        for options in ("", "-c event_triggers=off"):
            with pytest.raises(psycopg.OperationalError, match=r"has ended|permission denied"):
                given.login(password="none", options=options)
        assert given.revoke().gone
    finally:
        hba.write_text(before)
        shop.admin("SELECT pg_reload_conf()")
        shop.admin("DROP EVENT TRIGGER stint_refuse_ended_grants; DROP SCHEMA stint CASCADE")


def test_parameters_of_another_kind_are_refused_for_good(shop):
    from sessions_app.connectors.base import TargetSpec

    with pytest.raises(ConnectorError, match="no PostgreSQL login") as caught:
        shop.connector.observe(TargetSpec(cluster="x", target=shop.target))
    assert caught.value.permanent

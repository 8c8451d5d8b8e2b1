"""What is made for a grant is exactly what was approved, is seen when somebody changes it, and is mended."""

import contextlib
import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from sessions_app.connectors.base import ConnectorError, LeaseSpec
from sessions_app.connectors.postgres.names import role_names
from sessions_app.policy.commands.ssh.decide import CompiledSet as SSHCommands
from tests.support.pace import allow
from tests.support.servers.postgres_server import each_version
from tests.support.servers.postgres_shop import commands

pytestmark = [each_version, pytest.mark.timing]


def role_of(shop, spec) -> tuple:
    asked = (
        "SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
        " rolconnlimit, rolvaliduntil FROM pg_roles WHERE rolname = %s"
    )
    return shop.admin(asked, role_names(spec.mark).login)[0]


def test_a_role_ends_by_itself_has_a_limit_and_says_whose_it_is(shop):
    given = shop.give(place=shop.place(connection_limit=2))
    assert role_of(shop, given.spec) == (True, False, False, False, False, False, 2, given.spec.expires_at)
    (comment,) = shop.admin(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", given.role
    )[0]
    assert '"grant": "GR-TEST"' in comment
    assert given.spec.mark in comment
    sessions = [given.login(), given.login()]
    with pytest.raises(psycopg.OperationalError, match="too many connections"):
        given.login()
    for session in sessions:
        session.close()


def test_nobody_logs_in_before_a_password_is_issued_nor_after_the_end(shop):
    spec = shop.spec()
    shop.connector.provision(spec)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        shop.server.login(role_names(spec.mark).login, "guess")
    late = shop.give(seconds=min(allow(3), 8))
    late.login().close()
    with late.login():
        shop.admin("SELECT pg_sleep_until(%s)", late.spec.expires_at + dt.timedelta(milliseconds=100))
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            late.login()


def test_the_server_gets_a_verifier_and_never_the_password(shop):
    given = shop.give()
    (stored,) = shop.admin("SELECT rolpassword FROM pg_authid WHERE rolname = %s", given.role)[0]
    assert stored.startswith("SCRAM-SHA-256$4096:")
    logs = "".join(path.read_text(errors="replace") for path in (shop.server.data / "log").glob("*"))
    assert given.password not in stored + logs


def test_a_second_password_makes_the_first_worthless_and_a_change_by_the_holder_lengthens_nothing(shop):
    given = shop.give()
    again = shop.connector.issue(given.spec, given.lease)
    with pytest.raises(psycopg.OperationalError):
        given.login()
    with given.login(password=again.fields["Password"]) as session:
        session.execute("ALTER ROLE CURRENT_USER PASSWORD 'my own'")
    given.login(password="my own").close()
    assert role_of(shop, given.spec)[-1] == given.spec.expires_at
    assert given.revoke().gone
    with pytest.raises(psycopg.OperationalError):
        given.login(password="my own")


def test_passwords_that_are_set_at_the_same_moment_do_not_fail_each_other(shop):
    given = shop.give()
    with ThreadPoolExecutor(10) as pool:
        issued = [pool.submit(shop.connector.issue, given.spec, given.lease) for _ in range(10)]
    works = [one.result().fields["Password"] for one in issued if logs_in(given, one.result())]
    assert len(works) == 1


def logs_in(given, credential) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        given.login(password=credential.fields["Password"]).close()
        return True
    return False


def test_a_credential_says_how_to_log_in_and_hides_the_password(shop):
    given = shop.give()
    fields = given.credential.fields
    assert given.password not in given.credential.command
    assert {"Password", "URI"} == given.credential.secret
    assert given.password not in repr(given.credential)
    assert given.credential.expires_at == given.spec.expires_at
    uri = fields["URI"].split("?", maxsplit=1)[0] + "?sslmode=prefer"
    with psycopg.connect(uri) as session:
        assert session.execute("SELECT current_user, current_database()").fetchone() == (given.role, "shop")
    if shop.server.authority:
        assert "sslmode=verify-full&sslrootcert=shop.pem" in fields["URI"]
        assert fields["Authority (save as shop.pem)"] == shop.server.authority


def test_no_credential_without_a_role(shop):
    spec = shop.spec()
    with pytest.raises(ConnectorError, match="no role for GR-TEST"):
        shop.connector.issue(spec, LeaseSpec(grant_ref="GR-TEST", mark=spec.mark, place=spec.place))


TAMPERED = [
    "ALTER ROLE {login} VALID UNTIL 'infinity'",
    "ALTER ROLE {login} VALID UNTIL '2099-01-01'",
    "ALTER ROLE {login} CONNECTION LIMIT -1",
    "GRANT pg_read_all_data TO {login}",
    "GRANT reporting_reader TO {login} WITH ADMIN OPTION",
    "REVOKE {rights} FROM {login}",
    "ALTER ROLE {login} CREATEDB",
    "ALTER ROLE {login} NOLOGIN",
    "GRANT {login} TO bystander",
    "GRANT {rights} TO bystander",
    "GRANT reporting_reader TO {rights}",
    "REVOKE SELECT ON app.orders FROM {rights}",
    "COMMENT ON ROLE {login} IS 'mine'",
    "ALTER ROLE {rights} LOGIN",
]


@pytest.mark.parametrize("tampering", TAMPERED)
def test_a_role_that_was_changed_is_seen_and_mended(shop, tampering):
    shop.admin("DROP ROLE IF EXISTS bystander")
    shop.admin("CREATE ROLE bystander")
    spec = shop.spec("SELECT ON app.orders", "ROLE reporting_reader")
    shop.connector.provision(spec)
    names = role_names(spec.mark)
    if tampering.startswith("REVOKE"):
        # Only who granted it can take it back.
        with shop.server.login("stint_broker", shop.broker_password, "shop") as broker:
            broker.execute(tampering.format(login=names.login, rights=names.rights))
    else:
        shop.admin(tampering.format(login=names.login, rights=names.rights))
    assert shop.intact(spec) is False
    lease = shop.connector.provision(spec)
    assert shop.intact(spec) is True
    assert role_of(shop, spec)[-1] == spec.expires_at
    assert shop.admin(
        "SELECT pg_has_role('bystander', %s, 'MEMBER'), has_table_privilege(%s, 'app.orders', 'SELECT')",
        names.login,
        names.login,
    ) == [(False, True)]
    assert shop.connector.revoke(lease).gone
    shop.admin("DROP ROLE bystander")


def test_a_role_that_was_made_more_powerful_than_stint_is_an_error_until_an_administrator_mends_it(shop):
    given = shop.give()
    shop.admin(f"ALTER ROLE {given.role} SUPERUSER")
    assert shop.intact(given.spec) is False
    with pytest.raises(ConnectorError) as caught:
        given.revoke()
    assert caught.value.permanent
    assert f'ALTER ROLE "{given.role}" NOLOGIN NOSUPERUSER' in caught.value.message
    shop.admin(f"ALTER ROLE {given.role} NOSUPERUSER")
    assert given.revoke().gone


def test_an_orphan_is_seen_with_its_grant(shop):
    given = shop.give()
    seen = {one.mark: one for one in shop.connector.observe(shop.place())}[given.spec.mark]
    assert (seen.grant_ref, seen.intact) == ("GR-TEST", True)


def test_an_extension_moves_the_end_and_keeps_sessions(shop):
    given = shop.give("SELECT ON app.orders")
    longer = replace(given.spec, expires_at=given.spec.expires_at + dt.timedelta(hours=1))
    with given.login() as session:
        shop.connector.provision(longer)
        assert session.execute("SELECT count(*) FROM app.orders").fetchone() == (2,)
    assert role_of(shop, longer)[-1] == longer.expires_at
    given.login().close()


@pytest.mark.parametrize(
    ("grants", "said"),
    [
        (["SELECT ON app.missing"], "does not have the objects that `SELECT ON app.missing` names"),
        (["SELECT (missing) ON app.orders"], "does not have the objects"),
        (["EXECUTE ON FUNCTION app.close(text)"], "does not have the objects"),
        (["USAGE ON SEQUENCE app.orders"], "does not have the objects"),
        (["ROLE missing"], "has no role missing"),
        (
            ["SELECT ON hidden.secrets"],
            'GRANT SELECT ON TABLE "hidden"."secrets" TO "stint_broker" WITH GRANT OPTION',
        ),
        (["ROLE strong"], "strong"),
        (["ROLE inner_strong"], "SUPERUSER"),
        (["ROLE writer"], "pg_write_all_data"),
    ],
)
def test_what_cannot_be_given_is_refused_for_good_and_leaves_nothing(shop, grants, said):
    if not shop.admin("SELECT 1 FROM pg_roles WHERE rolname = 'strong'"):
        shop.admin("CREATE ROLE strong SUPERUSER; CREATE ROLE inner_strong; GRANT strong TO inner_strong")
        shop.admin("CREATE ROLE writer; GRANT pg_write_all_data TO writer")
        shop.admin(
            "CREATE SCHEMA hidden; GRANT USAGE ON SCHEMA hidden TO stint_broker WITH GRANT OPTION; CREATE"
            " TABLE hidden.secrets ()"
        )
    spec = shop.spec("SELECT ON app.orders", *grants)
    with pytest.raises(ConnectorError) as caught:
        shop.connector.provision(spec)
    assert said in caught.value.message
    assert caught.value.permanent
    assert shop.intact(spec) is None
    lease = LeaseSpec(grant_ref="GR-TEST", mark=spec.mark, place=spec.place)
    assert shop.connector.verify(lease).gone


def test_a_template_role_that_stint_may_not_give_is_told_with_the_fix(shop):
    shop.admin("DROP ROLE IF EXISTS not_ours; CREATE ROLE not_ours")
    spec = shop.spec("ROLE not_ours")
    if shop.major < 16:
        assert shop.connector.revoke(shop.connector.provision(spec)).gone
    else:
        with pytest.raises(ConnectorError, match='GRANT "not_ours" TO "stint_broker" WITH ADMIN OPTION;'):
            shop.connector.provision(spec)


def test_a_grant_that_is_over_by_the_servers_clock_is_not_made(shop):
    with pytest.raises(ConnectorError, match="expired by the server's clock"):
        shop.connector.provision(shop.spec(seconds=-1))


def test_commands_of_another_kind_are_refused(shop):
    spec = replace(shop.spec(), commands=SSHCommands("ssh", "x", {}, (), (), {}))
    with pytest.raises(ConnectorError, match="of kind ssh"):
        shop.connector.provision(spec)


def test_a_wrong_password_and_an_unknown_authority_are_told_apart_from_a_server_that_is_down(shop):
    for changes, said in (
        ({"password": "wrong"}, "password authentication failed"),
        ({"database": "nothing"}, "does not exist"),
    ):
        with pytest.raises(ConnectorError, match=said) as caught:
            shop.connector.observe(shop.place(**changes))
        assert caught.value.permanent
        assert "wrong" not in caught.value.message
    if shop.server.authority:
        with pytest.raises(ConnectorError, match="certificate") as caught:
            shop.connector.observe(shop.place(sslrootcert=""))
        assert caught.value.permanent


def test_names_with_quotes_are_names_and_nothing_else(shop):
    given = shop.give(
        'SELECT ON app."Weird; DROP TABLE x"',
        'SELECT ("Odd ""Name") ON app.orders',
        "SELECT (id) ON app.{table}",
        parameters={"table": {"choice": ["invoices"]}},
        table="invoices",
    )
    with given.login() as session:
        assert session.execute('SELECT "Odd ""Name" FROM app.orders ORDER BY 1').fetchall() == [(1,), (2,)]
        assert session.execute('SELECT * FROM app."Weird; DROP TABLE x"').fetchall() == []
    hostile = 'orders TO PUBLIC; --"'
    allowed = commands("SELECT ON app.{table}", parameters={"table": {"choice": [hostile]}}, table=hostile)
    with pytest.raises(ConnectorError, match="does not have the objects"):
        shop.connector.provision(replace(shop.spec(), commands=allowed))


def test_the_server_logs_what_a_holder_runs_and_the_holder_cannot_stop_it(shop):
    given = shop.give()
    assert given.lease.made["logs_statements"] is True
    with given.login() as session:
        assert session.execute("SHOW log_statement").fetchone() == ("all",)
        for attempt in ("SET log_statement = 'none'", "ALTER ROLE CURRENT_USER RESET log_statement"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(attempt)
        session.execute("ALTER ROLE CURRENT_USER RESET ALL")
    with given.login() as session:
        assert session.execute("SHOW log_statement").fetchone() == ("all",)


def test_a_database_that_is_closed_to_the_public_is_opened_by_its_privilege(shop):
    shop.admin("REVOKE CONNECT ON DATABASE other FROM PUBLIC")
    shop.admin("GRANT CONNECT ON DATABASE other TO stint_broker WITH GRANT OPTION")
    try:
        closed = shop.give("SELECT ON app.orders")
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            closed.login("other")
        given = shop.give("CONNECT ON DATABASE other")
        given.login("other").close()
        assert given.revoke().gone
        assert (
            shop.one("SELECT datacl::text ~ 'stint_[0-9a-f]{32}' FROM pg_database WHERE datname = 'other'")
            is False
        )
    finally:
        shop.admin(
            "GRANT CONNECT ON DATABASE other TO PUBLIC; REVOKE CONNECT ON DATABASE other FROM stint_broker"
            " CASCADE"
        )

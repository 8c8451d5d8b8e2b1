"""No grant gets a template role by which its holder could leave something behind, or destroy something of
others.
"""

import pytest

from sessions_app.connectors.base import ConnectorError, LeaseSpec
from tests.support.servers.postgres_shop import commands

# What makes a role one that can be handed on: the SQL, the database it is run in, and what is said of it.
FAULTS = {
    "owns a table": (
        "CREATE TABLE app.its_own (); ALTER TABLE app.its_own OWNER TO {role}",
        "shop",
        "owns table app.its_own",
    ),
    "owns in another database": (
        "CREATE TABLE its_own (); ALTER TABLE its_own OWNER TO {role}",
        "other",
        "owns table public.its_own",
    ),
    "owns a function": (
        (
            "CREATE FUNCTION app.its() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION app.its() OWNER"
            " TO {role}"
        ),
        "shop",
        "owns function app.its()",
    ),
    "owns a schema": ("CREATE SCHEMA its_own AUTHORIZATION {role}", "shop", "owns schema its_own"),
    "gives a table": (
        "GRANT SELECT ON app.orders TO {role} WITH GRANT OPTION",
        "shop",
        "has privileges on table app.orders WITH GRANT OPTION",
    ),
    "gives a column": (
        "GRANT UPDATE (status) ON app.orders TO {role} WITH GRANT OPTION",
        "shop",
        "has privileges on table app.orders WITH GRANT",
    ),
    "gives a function": (
        "GRANT EXECUTE ON FUNCTION app.close(int) TO {role} WITH GRANT OPTION",
        "shop",
        "has privileges on function app.close(integer)",
    ),
    "gives a schema": (
        "GRANT USAGE ON SCHEMA app TO {role} WITH GRANT OPTION",
        "shop",
        "has privileges on schema app WITH GRANT OPTION",
    ),
    "gives a sequence": (
        "GRANT USAGE ON SEQUENCE app.numbers TO {role} WITH GRANT OPTION",
        "shop",
        "has privileges on sequence app.numbers",
    ),
    "gives a type": (
        "GRANT USAGE ON TYPE app.mood TO {role} WITH GRANT OPTION",
        "shop",
        "has privileges on type app.mood",
    ),
    "gives a large object": (
        "SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO {role} WITH GRANT OPTION",
        "shop",
        "has privileges on large object 4711",
    ),
    "gives a database": (
        "GRANT CONNECT ON DATABASE other TO {role} WITH GRANT OPTION",
        "postgres",
        "has privileges on database other",
    ),
    "gives what will be made": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO {role} WITH GRANT OPTION",
        "shop",
        "WITH GRANT OPTION",
    ),
    "gives a role": (
        "GRANT bystander TO {role} WITH ADMIN OPTION",
        "postgres",
        "can grant the role bystander to others",
    ),
    "adds jobs": (
        "CREATE SCHEMA cron; GRANT USAGE ON SCHEMA cron TO {role}",
        "shop",
        "can use schema cron, which schedules jobs",
    ),
    "is named by a policy": (
        "CREATE POLICY limited ON app.orders AS RESTRICTIVE TO {role}, bystander USING (id = 1)",
        "shop",
        "is named by policy limited on app.orders",
    ),
    "changes the server": (
        "GRANT ALTER SYSTEM ON PARAMETER work_mem TO {role}",
        "postgres",
        "can change work_mem for the whole server",
    ),
}
NOT_BY_ONE_STATEMENT = ("gives what will be made",)


@pytest.fixture
def roles(shop):
    """A template that Stint may give, one above it, and somebody else."""
    shop.admin("CREATE ROLE bystander; CREATE ROLE upper; CREATE ROLE lower_one; GRANT upper TO lower_one")
    shop.admin("GRANT upper, lower_one TO stint_broker WITH ADMIN OPTION")
    yield
    for database in ("shop", "other", "postgres"):
        shop.admin("DROP OWNED BY upper, lower_one, bystander CASCADE", database=database)
    shop.admin("SELECT lo_unlink(4711) FROM pg_largeobject_metadata WHERE oid = 4711")
    shop.admin(
        "DROP TABLE IF EXISTS app.its_own; DROP FUNCTION IF EXISTS app.its(); DROP SCHEMA IF EXISTS its_own,"
        " cron"
    )
    shop.admin("DROP TABLE IF EXISTS its_own", database="other")
    shop.admin("DROP POLICY IF EXISTS limited ON app.orders")
    shop.admin("DROP ROLE upper, lower_one, bystander")


def make(shop, fault: str, role: str) -> str:
    """Give a role the fault, and return what is said of it."""
    statement, database, said = FAULTS[fault]
    shop.admin(statement.format(role=role), database=database)
    return said


@pytest.mark.parametrize("role", ["lower_one", "upper"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_template_that_can_be_handed_on_is_refused_itself_and_through_one_above_it(
    shop, roles, fault, role
):
    said = make(shop, fault, role)
    spec = shop.spec("ROLE lower_one")
    with pytest.raises(ConnectorError) as caught:
        shop.connector.provision(spec)
    assert said in caught.value.message
    assert "no grant may use the role lower_one" in caught.value.message
    assert ("which lower_one is a member of" in caught.value.message) == (role == "upper")
    assert caught.value.permanent
    assert shop.intact(spec) is None
    assert shop.connector.verify(LeaseSpec(grant_ref="GR-TEST", mark=spec.mark, place=spec.place)).gone


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in NOT_BY_ONE_STATEMENT])
def test_a_check_says_so_and_its_sql_mends_it(shop, roles, fault):
    said = make(shop, fault, "upper")
    sets = [commands("ROLE lower_one")]
    found = [step for step in shop.connector.check_commands(shop.place(), sets) if not step.ok]
    assert [step.name for step in found] == ["template role lower_one"] * len(found)
    assert said in found[0].detail
    checked = [step for step in shop.connector.check(shop.place()) if not step.ok]
    assert {step.name for step in checked} >= {"template role lower_one"}
    for step in found:
        shop.admin(step.fix, database=FAULTS[fault][1])
    assert all(step.ok for step in shop.connector.check_commands(shop.place(), sets))
    given = shop.give("ROLE lower_one")
    assert given.revoke().gone


def test_a_right_that_comes_later_refuses_the_next_grant(shop, roles):
    assert shop.give("ROLE lower_one").revoke().gone
    make(shop, "gives a table", "upper")
    with pytest.raises(ConnectorError, match="WITH GRANT OPTION"):
        shop.connector.provision(shop.spec("ROLE lower_one"))


def test_a_check_looks_at_every_choice_of_a_command_set(shop, roles):
    make(shop, "gives a table", "upper")
    choice = commands(
        "ROLE {role}", parameters={"role": {"choice": ["reporting_reader", "lower_one"]}}, role="lower_one"
    )
    (step,) = shop.connector.check_commands(shop.place(), [choice])
    assert not step.ok


@pytest.fixture
def limited(shop, roles):
    """A table of which a template sees one row of two, by a policy that names it and one for everyone."""
    shop.admin("GRANT USAGE ON SCHEMA app TO lower_one; GRANT SELECT, INSERT ON app.orders TO lower_one")
    shop.admin(
        "ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY everyone ON app.orders USING (true)"
    )
    yield
    shop.admin(
        "DROP POLICY IF EXISTS everyone ON app.orders; ALTER TABLE app.orders DISABLE ROW LEVEL SECURITY"
    )


@pytest.mark.parametrize(
    ("policy", "rows"),
    [
        ("AS RESTRICTIVE TO lower_one, bystander USING (id = 1)", [(1,)]),
        ("AS RESTRICTIVE TO upper USING (id = 2)", [(2,)]),
        ("AS RESTRICTIVE TO bystander USING (id = 2)", [(1,), (2,)]),
        ("TO lower_one WITH CHECK (id > 5)", [(1,), (2,)]),
    ],
)
def test_a_policy_that_names_a_template_outlives_the_grant_once_the_told_sql_makes_it_ask(
    shop, limited, policy, rows
):
    """DROP OWNED takes a role out of policies on the tables of others, and needs no right to these tables."""
    shop.admin(f"CREATE POLICY limited ON app.orders {policy}")
    for step in shop.connector.check_commands(shop.place(), [commands("ROLE lower_one")]):
        if not step.ok:
            shop.admin(step.fix)
    given = shop.give("ROLE lower_one")
    seen = "SELECT id FROM app.orders ORDER BY 1"
    with given.login() as session:
        assert session.execute(seen).fetchall() == rows
        session.execute("DROP OWNED BY lower_one")
        if "upper" in policy:
            session.execute("DROP OWNED BY upper")
    with given.login() as session:
        assert session.execute(seen).fetchall() == rows
    assert given.revoke().gone
    assert shop.one("SELECT count(*) FROM pg_policy WHERE polname = 'limited'") == 1

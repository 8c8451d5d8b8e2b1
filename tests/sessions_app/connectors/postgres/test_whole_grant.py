"""A grant on a real database, from asking to the receipt."""

import threading

import psycopg
import pytest

from broker.kernel import clock
from sessions_app.models import EndReason, GrantState
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.targets.reconcile_all import reconcile_all
from sessions_app.queries.grants.receipts import receipt
from tests.support.servers.postgres_server import each_version
from tests.support.waits import PATIENCE
from tests.support.world.acts import awake, intact
from tests.support.world.world import SETUP

pytestmark = each_version

SET = """
name: read-orders
kind: postgres
summary: Look at orders
risk: medium
parameters:
  table: {choice: [orders, invoices]}
commands:
  - grant: SELECT ON app.{table}
    effect: read
  - grant: UPDATE (status) ON app.{table}
    effect: change
examples:
  allow: ["SELECT ON app.orders"]
  refuse: ["DELETE ON app.orders"]
"""


def catalog(world, shop) -> dict[str, str]:
    tls = (
        f"  sslmode: verify-full\n  sslrootcert: |\n{_indented(shop.server.authority)}"
        if shop.server.authority
        else "  sslmode: prefer\n"
    )
    cluster = (
        "name: shop\nkind: postgres\nenvironment: production\nrisk: high\nconnection:\n"
        f"  database: shop\n  password: {shop.broker_password}\n  read_statements: true\n{tls}"
        f"targets: [{{name: db-1, address: 127.0.0.1, port: {shop.server.port}}}]\n"
    )
    policy = world.catalog["policies/web-work.yaml"]
    policy = policy.replace("[web]", "[web, shop]").replace("[restart-web]", "[restart-web, read-orders]")
    return {
        **world.catalog,
        "clusters/shop.yaml": cluster,
        "command-sets/read-orders.yaml": SET,
        "policies/web-work.yaml": policy,
    }


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


@pytest.fixture
def grant(world, shop):
    now = awake(clock.now())
    apply_catalog(files=catalog(world, shop), actor=SETUP, now=now)
    made = world.grant(cluster="shop", command_set="read-orders", parameters={"table": "orders"}, now=now)
    assert made.state == GrantState.PROVISIONING
    active = prepare_grant(grant_id=made.pk, now=clock.now)
    assert active.state == GrantState.ACTIVE, active.last_error or active.end_note
    yield active
    end_grant(grant_id=made.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
    deprovision_grant(grant_id=made.pk, now=clock.now)


def login(world, grant) -> psycopg.Connection:
    credential = issue_credential(grant_id=grant.pk, actor=world.alice, target=None, now=clock.now())
    fields = credential.fields
    return psycopg.connect(
        host=fields["Host"],
        port=int(fields["Port"]),
        user=fields["Username"],
        password=fields["Password"],
        dbname=fields["Database"],
        autocommit=True,
        connect_timeout=10,
    )


def end(world, grant):
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=clock.now())
    return deprovision_grant(grant_id=grant.pk, now=clock.now)


@pytest.mark.smoke
def test_the_holder_does_what_was_approved_and_nothing_of_it_is_left_after_the_end(world, shop, grant):
    with login(world, grant) as session:
        assert session.execute("SELECT count(*) FROM app.orders").fetchone() == (2,)
        session.execute("UPDATE app.orders SET status = 'open'")
        for refused in (
            "DELETE FROM app.orders",
            "SELECT * FROM app.invoices",
            "UPDATE app.orders SET note = ''",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(refused)
        cut: list[str] = []
        query = threading.Thread(target=lambda: _cut(session, cut))
        query.start()
        ended = end(world, grant)
        query.join(PATIENCE)
    assert ended.state == GrantState.ENDED, ended.last_error
    assert "terminating connection" in cut[0]
    assert shop.one("SELECT count(*) FROM pg_roles WHERE rolname LIKE %s", f"%{grant.mark}%") == 0
    (checked,) = receipt(ended, clock.now())["checked"]
    assert (checked["gone"], checked["target"]) == (True, "db-1")
    assert checked["made"]
    assert checked["evidence"]["asked_at"] <= checked["evidence"]["answered_at"]
    assert intact()


def _cut(session, cut: list[str]) -> None:
    try:
        session.execute("SELECT pg_sleep(60)")
    except psycopg.Error as error:
        cut.append(str(error))


def test_what_an_administrator_takes_away_is_seen_and_given_back(world, shop, grant):
    from sessions_app.models import Drift

    reconcile_all(now=clock.now)
    assert list(Drift.objects.all()) == []
    role = next(
        iter(
            shop.admin(
                "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname LIKE %s", f"%{grant.mark}%"
            )
        )
    )[0]
    shop.admin(f"ALTER ROLE {role} VALID UNTIL 'infinity'")
    reconcile_all(now=clock.now)
    assert [(one.kind, one.grant_ref) for one in Drift.objects.filter(gone_at=None)] == [
        ("changed", grant.ref)
    ]
    prepare_grant(grant_id=grant.pk, now=clock.now)
    reconcile_all(now=clock.now)
    assert list(Drift.objects.filter(gone_at=None)) == []

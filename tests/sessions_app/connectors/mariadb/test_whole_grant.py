"""A grant on a real MariaDB, from the request to the receipt."""

import pymysql
import pytest

from broker.kernel import clock
from sessions_app.models import EndReason, GrantState
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.queries.grants.receipts import receipt
from tests.support.servers.postgres_server import HOST
from tests.support.world.acts import awake
from tests.support.world.world import SETUP

SET = """
name: read-orders
kind: mariadb
summary: Look at orders
risk: medium
parameters:
  table: {choice: [orders, invoices]}
commands:
  - grant: SELECT ON shop.{table}
    effect: read
examples:
  allow: ["SELECT ON shop.orders"]
  refuse: ["DELETE ON shop.orders"]
"""


def catalog(world, maria) -> dict[str, str]:
    authority = "".join(f"    {line}\n" for line in maria.authority.splitlines())
    cluster = (
        "name: shop\nkind: mariadb\nenvironment: production\nrisk: high\nconnection:\n"
        f"  database: shop\n  password: {maria.broker_password}\n  ca: |\n{authority}"
        f"targets: [{{name: db-1, address: {HOST}, port: {maria.port}}}]\n"
    )
    policy = world.catalog["policies/web-work.yaml"]
    policy = policy.replace("[web]", "[web, shop]").replace("[restart-web]", "[restart-web, read-orders]")
    return {
        **world.catalog,
        "clusters/shop.yaml": cluster,
        "command-sets/read-orders.yaml": SET,
        "policies/web-work.yaml": policy,
    }


def login(maria, grant, world) -> pymysql.connections.Connection:
    issued = issue_credential(grant_id=grant.pk, actor=world.alice, target="db-1", now=clock.now())
    fields = issued.fields
    return pymysql.connect(
        host=fields["Host"],
        port=int(fields["Port"]),
        user=fields["Username"],
        password=fields["Password"],
        database=fields["Database"],
        ssl=maria.place().parameters.context(),
    )


def test_the_holder_reads_what_was_approved_until_the_grant_is_ended_and_confirmed(world, maria):
    now = awake(clock.now())
    apply_catalog(files=catalog(world, maria), actor=SETUP, now=now)
    made = world.grant(cluster="shop", command_set="read-orders", parameters={"table": "orders"}, now=now)
    active = prepare_grant(grant_id=made.pk, now=clock.now)
    assert active.state == GrantState.ACTIVE, active.last_error or active.end_note

    session = login(maria, active, world)
    session.cursor().execute("SELECT * FROM orders")
    with pytest.raises(pymysql.MySQLError):
        session.cursor().execute("SELECT * FROM invoices")

    end_grant(grant_id=made.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
    ended = deprovision_grant(grant_id=made.pk, now=clock.now)
    assert ended.state == GrantState.ENDED
    with pytest.raises(pymysql.MySQLError):
        session.cursor().execute("SELECT 1")
    assert maria.one("SELECT count(*) FROM mysql.user WHERE User = %s", f"stint_{ended.mark}") == 0
    assert "db-1" in str(receipt(ended, clock.now()))

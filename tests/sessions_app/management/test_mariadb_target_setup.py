"""`mariadb_target_setup`, as an administrator runs it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

CLUSTER = """
name: stock
kind: mariadb
summary: The stock database
environment: production
risk: high
connection: {user: broker_of_stint, password: canary, database: stock}
targets:
  - {name: db-1, address: db.example.com}
"""
SET = """
name: repair-stock
kind: mariadb
summary: Correct the stock
risk: high
parameters:
  table: {choice: [items, places]}
commands:
  - grant: SELECT, UPDATE (amount) ON stock.{table}
    effect: change
examples:
  allow: ["SELECT ON stock.items"]
  refuse: ["DELETE ON stock.items"]
"""


def run(*words: str) -> str:
    out = StringIO()
    call_command("mariadb_target_setup", *words, stdout=out)
    return out.getvalue()


def test_the_setup_lets_the_account_grant_what_command_sets_allow_and_no_more(world):
    policy = world.catalog["policies/web-work.yaml"]
    policy = policy.replace("[web]", "[web, stock]").replace("[restart-web]", "[restart-web, repair-stock]")
    world.apply(
        {
            "clusters/stock.yaml": CLUSTER,
            "command-sets/repair-stock.yaml": SET,
            "policies/web-work.yaml": policy,
        }
    )
    said = run("stock")
    granted = [line for line in said.splitlines() if line.endswith("WITH GRANT OPTION;")]
    assert granted == [
        f"GRANT {what} ON TABLE `stock`.`{table}` TO 'broker_of_stint'@'%' WITH GRANT OPTION;"
        for what, table in (
            ("SELECT", "items"),
            ("SELECT", "places"),
            ("UPDATE (`amount`)", "items"),
            ("UPDATE (`amount`)", "places"),
        )
    ]
    assert "REQUIRE SSL" in said
    assert "canary" not in said


def test_a_cluster_that_is_not_there_is_named(world):
    with pytest.raises(CommandError, match="MariaDB cluster web not found, or it has no target"):
        run("web")

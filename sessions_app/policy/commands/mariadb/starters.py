"""Starter command sets for MariaDB. Each can be published unchanged."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "mariadb-read",
        "Read tables",
        "Read some tables of one database.",
        "read-shop-orders",
        """\
name: read-shop-orders
kind: mariadb
summary: Read orders and customers for a support case
risk: medium
commands:
  # Written as between GRANT and TO, with the database.
  - grant: SELECT ON shop.orders
    effect: read
  - grant: SELECT (id, name) ON shop.customers
    effect: read
examples:
  allow: ["SELECT ON shop.orders", "SELECT (name) ON shop.customers"]
  refuse: ["SELECT ON shop.customers", "UPDATE ON shop.orders", "SELECT ON mysql.user"]
""",
    ),
    Starter(
        "mariadb-repair",
        "Repair rows",
        "Read one table and correct some of its columns.",
        "repair-shop-orders",
        """\
name: repair-shop-orders
kind: mariadb
summary: Read one table and correct the state of its rows
risk: high
parameters:
  # Fixed when access is requested. List the tables that may be corrected.
  table: {choice: [orders, invoices]}
commands:
  - grant: SELECT, UPDATE (status) ON shop.{table}
    effect: change
examples:
  allow: ["UPDATE (status) ON shop.orders"]
  refuse: ["UPDATE ON shop.orders", "DELETE ON shop.orders", "UPDATE (status) ON shop.customers"]
""",
    ),
)

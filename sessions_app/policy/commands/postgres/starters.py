"""Command sets for PostgreSQL to begin with. Each is fit to be published as it stands."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "postgres-read",
        "Read tables",
        "Look at some tables of one database, and change nothing.",
        "read-orders",
        """\
name: read-orders
kind: postgres
summary: Read orders and customers while a case is looked into
risk: medium
commands:
  # What is granted, as between GRANT and TO. USAGE on the schema comes with it.
  - grant: SELECT ON app.orders
    effect: read
  - grant: SELECT (id, name) ON app.customers
    effect: read
examples:
  allow: ["SELECT ON app.orders", "SELECT (name) ON app.customers"]
  refuse: ["SELECT ON app.customers", "UPDATE ON app.orders", "ROLE postgres"]
""",
    ),
    Starter(
        "postgres-repair",
        "Repair rows",
        "Read one table and correct some of its columns.",
        "repair-orders",
        """\
name: repair-orders
kind: postgres
summary: Read one table and correct the state of its rows
risk: high
parameters:
  # Bound when somebody asks. Put the tables here that may be corrected.
  table: {choice: [orders, invoices]}
commands:
  - grant: SELECT, UPDATE (status) ON app.{table}
    effect: change
examples:
  allow: ["UPDATE (status) ON app.orders"]
  refuse: ["UPDATE ON app.orders", "DELETE ON app.orders", "UPDATE (status) ON app.customers"]
""",
    ),
    Starter(
        "postgres-role",
        "Have a role",
        "Be a member of a role that the administrator keeps for this.",
        "reporting",
        """\
name: reporting
kind: postgres
summary: Have what the reporting role has, tables made later as well
risk: medium
commands:
  # A role without login that the administrator made. Stint's role needs ADMIN OPTION on it.
  - grant: ROLE reporting_reader
    effect: read
examples:
  allow: ["ROLE reporting_reader"]
  refuse: ["ROLE pg_write_all_data", "ROLE postgres"]
""",
    ),
)

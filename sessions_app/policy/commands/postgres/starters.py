"""Starter command sets for PostgreSQL. Each can be published unchanged."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "postgres-read",
        "Read tables",
        "Read some tables of one database.",
        "read-orders",
        """\
name: read-orders
kind: postgres
summary: Read orders and customers for a support case
risk: medium
commands:
  # Written as between GRANT and TO. USAGE on the schema is included.
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
  # Fixed when access is requested. List the tables that may be corrected.
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
        "Membership in a role",
        "Become a member of a role that an administrator prepared.",
        "reporting",
        """\
name: reporting
kind: postgres
summary: Use everything that the reporting role can use, including future tables
risk: medium
commands:
  # A role without LOGIN. Stint's role needs ADMIN OPTION on it.
  - grant: ROLE reporting_reader
    effect: read
examples:
  allow: ["ROLE reporting_reader"]
  refuse: ["ROLE pg_write_all_data", "ROLE postgres"]
""",
    ),
    Starter(
        "postgres-statements",
        "Run statements",
        "Allow exact statements, checked and recorded one by one by the gateway.",
        "fix-order",
        """\
name: fix-order
kind: postgres
summary: Look up orders, and correct the status of one
risk: medium
# The schema of names without one.
schema: app
parameters:
  # Fixed when access is requested.
  order: {int: [1, 1000000000]}
commands:
  # Any SELECT of these columns.
  - select:
      tables: [orders]
      columns: [id, status, total, created]
      where: required
      limit: 1000
    effect: read
  - sql: UPDATE orders SET status = {status} WHERE id = {order}
    # Chosen at each run.
    where: {status: {choice: [open, paid, canceled]}}
    effect: change
    # A statement that changes more rows is rolled back.
    max_rows: 1
    # A second person sees the row before and after, and approves each COMMIT.
    hold: true
  - call: refund({order}::bigint)
    effect: change
examples:
  allow:
    - SELECT id, status FROM orders WHERE id = 7 LIMIT 10
    - UPDATE orders SET status = 'paid' WHERE id = 7
    - SELECT app.refund(7)
  refuse:
    - UPDATE orders SET status = 'paid'
    - SELECT * FROM orders
    - DELETE FROM orders WHERE id = 7
""",
    ),
)

"""Command sets for HTTP to begin with. Each is fit to be published as it stands."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "http-ticket",
        "One ticket of an API",
        "Read one ticket and close it with a note, and never delete it.",
        "close-ticket",
        """\
name: close-ticket
kind: http
summary: Read one ticket and close it with a note
risk: medium
parameters:
  # Bound when somebody asks, so that the grant covers this ticket and not its neighbour.
  ticket: {pattern: "T-[0-9]{1,8}"}
commands:
  - request: GET /tickets/{ticket}
    effect: read
  - request: GET /tickets/{ticket}/comments
    # Free at each run, inside the type. Names that are not listed are refused.
    query: {page: {int: [1, 100]}}
    optional: [page]
    effect: read
  - request: POST /tickets/{ticket}/close
    # Only a door that sees the body allows this one: AuthZEN.
    body: {note: {pattern: ".{0,200}"}}
    effect: change
  - deny: DELETE /tickets/{ticket}
examples:
  allow: ["GET /tickets/T-42", "GET /tickets/T-42/comments?page=2", 'POST /tickets/T-42/close {"note": "done"}']
  refuse: ["DELETE /tickets/T-42", "GET /tickets", "GET /tickets/T-42/../T-43"]
""",
    ),
    Starter(
        "http-read",
        "Read from an API",
        "Look at the health and the orders of a service, and change nothing.",
        "read-orders",
        """\
name: read-orders
kind: http
summary: Look at the health and the orders of a service
risk: low
commands:
  - request: GET /health
    effect: read
  - request: GET /orders/{order}
    where: {order: {int: [1, 99999999]}}
    effect: read
examples:
  allow: ["GET /health", "GET /orders/42"]
  refuse: ["POST /orders/42", "GET /orders", "GET /orders/..%2fusers"]
""",
    ),
)

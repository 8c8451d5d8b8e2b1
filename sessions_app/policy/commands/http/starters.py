"""Starter command sets for HTTP. Each can be published unchanged."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "http-gateway",
        "An API behind Stint's own gateway",
        "Read the price of an article and order it. A second person approves each order.",
        "order-article",
        """\
name: order-article
kind: http
summary: Read the price of an article and order it
risk: high
parameters:
  # Fixed when access is requested, so that the grant covers this article and no other.
  article: {pattern: "A-[0-9]{1,8}"}
commands:
  - request: GET /articles/{article}
    # Only these fields of the answer pass, and no more than one megabyte.
    response: {fields: [id, price, stock.count], max: 1MB, time: 10s}
    effect: read
  - request: POST /orders
    # Chosen at each run, within the type. Fields that are not listed are refused.
    body: {article: "{article}", count: {int: [1, 10]}}
    # A second person sees the exact request and allows it.
    hold: true
    response: {fields: [id, state]}
    effect: change
  - request: PUT /articles/{article}/image
    upload: {max: 2MB, types: [image/png, image/jpeg]}
    effect: change
examples:
  allow: ["GET /articles/A-42", 'POST /orders {"article": "A-42", "count": 2}']
  refuse: ['POST /orders {"article": "A-42", "count": 11}', "DELETE /articles/A-42", "POST /orders"]
""",
    ),
    Starter(
        "http-ticket",
        "One ticket of an API",
        "Read one ticket and close it with a note. It can't be deleted.",
        "close-ticket",
        """\
name: close-ticket
kind: http
summary: Read one ticket and close it with a note
risk: medium
parameters:
  # Fixed when access is requested, so that the grant covers this ticket and no other.
  ticket: {pattern: "T-[0-9]{1,8}"}
commands:
  - request: GET /tickets/{ticket}
    effect: read
  - request: GET /tickets/{ticket}/comments
    # Chosen at each run, within the type. Fields that are not listed are refused.
    query: {page: {int: [1, 100]}}
    optional: [page]
    effect: read
  - request: POST /tickets/{ticket}/close
    # Stint's own gateway (proxy: stint) and AuthZEN see the body. Other proxies refuse this.
    body: {note: {pattern: ".{0,200}"}}
    effect: change
  - deny: DELETE /tickets/{ticket}
examples:
  allow:
    - "GET /tickets/T-42"
    - "GET /tickets/T-42/comments?page=2"
    - 'POST /tickets/T-42/close {"note": "done"}'
  refuse: ["DELETE /tickets/T-42", "GET /tickets", "GET /tickets/T-42/../T-43"]
""",
    ),
    Starter(
        "http-read",
        "Read from an API",
        "Read the health and the orders of a service.",
        "read-orders",
        """\
name: read-orders
kind: http
summary: Read the health and the orders of a service
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

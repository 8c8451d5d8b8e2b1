"""Starter command sets for MCP. Each can be published unchanged."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "mcp-ticket",
        "One ticket for an agent",
        "Read one ticket, summarize it and close it. Nothing can be exported.",
        "agent-ticket",
        """\
name: agent-ticket
kind: mcp
summary: Read one ticket, summarize it and close it
risk: medium
parameters:
  # Fixed when access is requested, so that the grant covers this ticket and no other.
  ticket: {pattern: "T-[0-9]{1,8}"}
commands:
  - tool: read_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - tool: save_summary
    # Chosen at each call, within the type. Arguments that are not listed are refused.
    arguments: {id: "{ticket}", text: {schema: {type: string, minLength: 1, maxLength: 2000}}}
    effect: change
  - tool: close_ticket
    arguments: {id: "{ticket}"}
    effect: change
  - deny: "export_*"
examples:
  allow:
    - 'read_ticket {"id": "T-42"}'
    - 'save_summary {"id": "T-42", "text": "A broken link."}'
    - 'close_ticket {"id": "T-42"}'
  refuse:
    - 'export_attachments {"id": "T-42"}'
    - 'read_ticket {"id": "*"}'
    - 'close_ticket {"id": "T-42", "force": true}'
""",
    ),
    Starter(
        "mcp-buy",
        "Prices without purchases",
        "Get prices from vendors. A second person approves each order.",
        "ask-prices",
        """\
name: ask-prices
kind: mcp
summary: Ask vendors for prices; an order waits for a second person
risk: medium
parameters:
  vendor: {name: 40}
commands:
  - tool: get_price
    arguments:
      vendor: "{vendor}"
      items: {schema: {type: array, maxItems: 20, items: {type: string, pattern: "SKU-[0-9]{1,8}"}}}
    effect: read
  - tool: place_order
    arguments: {vendor: "{vendor}", sku: {pattern: "SKU-[0-9]{1,8}"}, amount: {int: [1, 10]}}
    effect: change
    hold: true
  - deny: "*payment*"
examples:
  allow:
    - 'get_price {"vendor": "acme", "items": ["SKU-1", "SKU-2"]}'
    - 'place_order {"vendor": "acme", "sku": "SKU-1", "amount": 2}'
  refuse:
    - 'create_payment {"vendor": "acme"}'
    - 'place_order {"vendor": "acme", "sku": "SKU-1", "amount": 11}'
""",
    ),
)

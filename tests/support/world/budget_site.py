"""Grants with budgets on an mcp cluster, and calls that spend them."""

import datetime as dt
from typing import Any

import yaml

from tests.support.world.mcp_site import grant_unseen, mail_files, token_of


def budget_files(*budget: dict[str, Any], hold: bool = False, shared: Any = ()) -> dict[str, str]:
    """Return the files of a set `desk-mail` with one tool that spends money, and this budget."""
    refund = {
        "tool": "refund",
        "arguments": {"amount": {"schema": {"type": "number", "minimum": 0}}},
        "effect": "change",
        "hold": hold,
        "budget": list(budget),
    }
    written = {
        "name": "desk-mail",
        "kind": "mcp",
        "summary": "Refunds",
        "risk": "medium",
        "budget": list(shared),
        "commands": [refund, {"tool": "look", "arguments": {}, "effect": "read"}],
        "examples": {"allow": ['refund {"amount": 1}'], "refuse": ["drop"]},
        "accept": {"unbound commands[0].tool": "for a test", "unbound commands[1].tool": "for a test"},
    }
    return {**mail_files(), "command-sets/desk-mail.yaml": yaml.safe_dump(written)}


class Holder:
    """A grant in use. ``spend`` makes a call."""

    def __init__(self, world: Any, grant: Any = None) -> None:
        from broker.kernel.crypto import token_digest
        from sessions_app.operations.sessions.authorize_use import authorize_use, only
        from sessions_app.operations.sessions.proofs.token import ByToken
        from tests.support.world.acts import session

        asked = {"command_set": "desk-mail", "parameters": {}, "duration": 3 * 3600}
        self.grant, self.world = grant or grant_unseen(world, **asked), world
        self.use = only(authorize_use(by=ByToken(token_digest(token_of(self.grant, world)), "desk")))
        self.session = session(self.use, now=world.now, gateway="mcp-1")

    def spend(self, amount: float, *, now: dt.datetime | None = None) -> Any:
        from sessions_app.operations.sessions.try_call import try_call
        from sessions_app.policy.commands.mcp.decide import decided

        call = decided(self.use.compiled, "refund", {"amount": amount})
        return try_call(use=self.use, session_id=self.session, call=call, now=now or self.world.now)

    def verdicts(self, *amounts: float) -> list[str]:
        return [self.spend(amount).verdict for amount in amounts]

    @property
    def says(self) -> list[str]:
        from sessions_app.queries.grants.budgets import budgets_of

        return [one.says for one in budgets_of(self.grant, self.world.now)]

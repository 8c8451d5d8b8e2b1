"""The steps in which an agent answers a ticket through MCP."""

from __future__ import annotations

from broker.demo.means import expect
from broker.demo.releasing import Releasing
from sessions_app.models.grant import why_over


class AgentSteps(Releasing):
    """The agent's steps of the demo, after those of the release."""

    def agent_asks(self) -> str:
        self.workflow = self.cast.jonas.post(
            "/workflows",
            {
                "kind": "ticket",
                "title": "A customer can't open a link",
                "clusters": ["support-desk"],
            },
        )["ref"]
        self.desk.add(self.workflow, "The link in your email leads nowhere")
        asked = self.agent.call(
            "",
            self.cast.scribe.token,
            "request_access",
            {
                "cluster": "support-desk",
                "command_set": "agent-ticket",
                "duration": 600,
                "workflow": self.workflow,
                "reason": "Answer the customer",
            },
        )
        expect(not asked["isError"], str(asked))
        self.request = self.cast.jonas.get(f"/requests/{asked['structuredContent']['request']}")
        self.cast.jonas.post(
            f"/requests/{self.request['ref']}/verdicts",
            {
                "verdict": "approve",
                "digest": self.request["digest"],
                "comment": "Looks good",
            },
        )
        self.grant = self.wait_for(
            lambda grant: grant["state"] == "active", within=20, whose=self.cast.scribe
        )
        made = self.cast.scribe.post(f"/grants/{self.grant['ref']}/credential", {})["values"]
        self.token = made["Token"]
        return (
            f"request_access: {self.request['ref']} for {self.workflow}\n{self.grant['ref']} is available at"
            f" {made['MCP address']}"
        )

    def agent_works(self) -> str:
        tools = ", ".join(self.agent.tools("support-desk", self.token))
        read = self._tool("read_ticket", {"id": self.workflow})
        expect("leads nowhere" in read, read)
        kept = self._tool("save_summary", {"id": self.workflow, "text": "A broken link."})
        beside = self._tool("read_ticket", {"id": "TKT-9999"})
        export = self._tool("export_attachments", {"id": self.workflow})
        expect("Refused" in beside and "secret" not in beside, beside)
        expect("Refused" in export, export)
        closed = self._tool("close_ticket", {"id": self.workflow})
        expect(self.workflow in self.desk.closed, closed)
        return (
            f"tools/list: {tools}\nread_ticket {self.workflow}: {read}\nsave_summary: {kept}\nread_ticket"
            f" TKT-9999: {beside}\nexport_attachments: {export}\nclose_ticket: {closed}"
        )

    def agent_is_done(self) -> str:
        self.cast.jonas.post(f"/workflows/{self.workflow}/close", {"note": "Answered"})
        status = self.agent.status("support-desk", self.token)
        expect(status == 401, f"the gateway returned {status}")
        ended = self.wait_for(lambda found: found["state"] == "ended", within=20, whose=self.cast.scribe)
        return f"{ended['ref']} ended ({why_over(ended['end_reason'])}); tools/list returned {status}"

    def _tool(self, name: str, arguments: dict[str, str]) -> str:
        """Return the text of a call's result."""
        result = self.agent.call("support-desk", self.token, name, arguments)
        return str(result["content"][0]["text"])

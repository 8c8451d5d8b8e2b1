"""The demo's steps: access is requested, approved, used, refused and ended, and its end is confirmed."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable

from django.core.management import CommandError, call_command

from broker.cli.wording import held_commit
from broker.demo.agent_steps import AgentSteps
from broker.demo.api import ApiError
from broker.demo.means import Wrong, expect, first, said

_WINDOW = 14
_DATABASE_WINDOW = 8
_COUNT, _CARDS = "SELECT count(*) FROM app.orders", "SELECT * FROM app.cards"
_FIX = "UPDATE app.orders SET state = 'paid' WHERE id = {}"


class Story(AgentSteps):
    """All steps of the demo, in order."""

    def play(self) -> bool:
        """Play the steps until one fails. Return whether all succeeded."""
        steps: list[tuple[str, Callable[[], str]]] = [
            ("Priya requests a window on web-eu with one command set", self.ask),
            ("Two people approve exactly what they read; the grant is scheduled", self.approve),
            ("The grant starts automatically", self.open),
            ("An allowed command runs on web-1", self.allowed),
            ("A command outside the set is refused, with the closest allowed one", self.outside),
            ("An injection is refused before anything reaches the host", self.injection),
            ("A running command is terminated at the deadline", self.deadline),
            ("The target confirms the end, and the receipt shows it", self.proven),
            ("The next login is refused", self.next_login),
            ("Priya can read one table of the shop's database, as a temporary role", self.database),
            ("psql is disconnected during a query at the deadline, and the role is dropped", self.query_cut),
            (
                "At Stint's PostgreSQL gateway, one update is refused; another waits at its COMMIT for Jonas",
                self.update_held,
            ),
            ("In the API behind nginx, Priya can read one ticket and no other", self.tickets_open),
            ("The ticket is done: the grant ends, and its token is revoked", self.tickets_shut),
            (
                "Through Stint's own gateway, Priya reads a price, with an API key that she never sees",
                self.prices_open,
            ),
            ("She follows its changes; the stream is closed when the grant ends", self.prices_cut),
            (
                "A pipeline gets access to a Kubernetes cluster, for its own release only",
                self.pipeline_asks,
            ),
            ("kubectl sets the image of that release; another image is refused", self.releases),
            (
                (
                    "The pipeline is done: its kubectl exec is disconnected, and the process in the container"
                    " is killed"
                ),
                self.release_done,
            ),
            ("An agent requests one ticket through MCP; Jonas approves", self.agent_asks),
            (
                "It reads and closes that ticket; another ticket and an export are refused",
                self.agent_works,
            ),
            ("The ticket is closed in Stint: the agent's token is revoked", self.agent_is_done),
            ("An incident is open: Priya is on call and starts without approval", self.responds),
            ("The incident is closed while a command runs: all access for it ends", self.resolved),
            ("The record is verified", self.record),
        ]
        for self.number, (title, step) in enumerate(steps, 1):
            sys.stdout.write(f"\n{self.number:2}. {title}\n")
            sys.stdout.flush()
            try:
                seen = step()
            except (Wrong, ApiError) as error:
                sys.stdout.write(f"    FAILED: {error}\n")
                return False
            sys.stdout.write("".join(f"    {line}\n" for line in seen.splitlines()))
            sys.stdout.flush()
        sys.stdout.write("\n")
        return True

    # The steps

    def ask(self) -> str:
        start = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)
        self.request = self.cast.priya.post(
            "/requests",
            {
                "cluster": "web-eu",
                "command_set": "restart-web",
                "parameters": {"unit": "nginx"},
                "starts_at": start.isoformat(),
                "duration": _WINDOW,
                "ticket": "CHG-2291",
                "reason": "Load the new certificates",
            },
        )
        expect(self.request["state"] == "pending", f"the request is {self.request['state']}")
        return (
            f"{self.request['ref']}: restart-web (unit nginx) on web-1 and web-2 for {_WINDOW} s, CHG-2291,"
            " is waiting for 2 approvals"
        )

    def approve(self) -> str:
        seen = []
        for name, api in (("Jonas", self.cast.jonas), ("Mara", self.cast.mara)):
            answer = api.post(
                f"/requests/{self.request['ref']}/verdicts",
                {
                    "verdict": "approve",
                    "digest": self.request["digest"],
                    "comment": "Looks good",
                },
            )
            seen.append(f"{name} approved {self.request['digest'][:12]}…, now {answer['state']}")
        expect(answer["state"] == "approved", seen[-1])
        return "\n".join(seen)

    def open(self) -> str:
        self.grant = self.wait_for(lambda grant: grant["state"] == "active", within=10)
        return f"{self.grant['ref']} is active until {self.grant['expires_at']}"

    def allowed(self) -> str:
        done = self.ssh("web-1", "systemctl restart nginx")
        expect(done.returncode == 0 and "restarted nginx" in done.stdout, said(done))
        return f"$ {self.shown('web-1', 'systemctl restart nginx')}\n{done.stdout.strip()}"

    def outside(self) -> str:
        done = self.ssh("web-1", "systemctl restart sshd")
        expect(done.returncode != 0 and "nginx" in done.stderr, said(done))
        return f"$ ssh … web-1 systemctl restart sshd\n{done.stderr.strip()}"

    def injection(self) -> str:
        proof = self.folder / "injected"
        line = f"systemctl restart nginx; touch {proof}"
        done = self.ssh("web-1", line)
        expect(done.returncode != 0 and not proof.exists(), said(done))
        return f"$ ssh … web-1 '{line}'\n{done.stderr.strip()}"

    def deadline(self) -> str:
        running = subprocess.Popen(
            self.command("web-1", "journalctl --no-pager -f -u nginx"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        with running:
            process = self.targets.find_process("journalctl --no-pager -f -u nginx", within=5)
            expect(process is not None, "the command did not start on the target")
            watch = os.pidfd_open(process or 0)
            with contextlib.ExitStack() as stack:
                stack.callback(os.close, watch)
                until = dt.datetime.fromisoformat(self.grant["expires_at"]).timestamp()
                over, _, _ = select.select([watch], [], [], until - time.time() + 5)
                late = time.time() - until
            expect(bool(over), "the process was still running 5 s after the deadline")
            expect(-0.05 < late < 2, f"the process ended {late:.3f} s after the deadline")
            running.wait(timeout=5)
        return f"process {process} on web-1 ended {late * 1000:.0f} ms after the deadline"

    def proven(self) -> str:
        grant = self.wait_for(lambda found: found["state"] == "ended", within=15)
        receipt = self.cast.priya.get(f"/grants/{grant['ref']}/receipt")
        ended, checked = receipt["ended"], receipt["checked"]
        expect(bool(checked) and all(lease["gone"] for lease in checked), f"not confirmed: {checked}")
        lines = [f"{grant['ref']} ended ({ended['why']}); confirmed {ended['seconds']} s later"]
        lines += [f"{lease['target']}: checked, nothing of the grant is left" for lease in checked]
        lines.append(f"{len(receipt['run'])} commands run, {len(receipt['refused'])} refused")
        return "\n".join(lines)

    def next_login(self) -> str:
        done = self.ssh("web-1", "systemctl --no-pager status nginx")
        expect(done.returncode != 0 and "no active access" in done.stderr, said(done))
        return f"$ ssh … web-1 systemctl --no-pager status nginx\n{done.stderr.strip()}"

    def database(self) -> str:
        self.grant = self.granted("shop-db", "read-orders", seconds=_DATABASE_WINDOW)
        fields = self.credential()
        expect(self.shop.roles() != [], "the server has no role for the grant")
        done = self.psql(fields["URI"], _COUNT)
        expect(done.returncode == 0 and "1000" in done.stdout, said(done))
        refused = self.psql(fields["URI"], _CARDS)
        expect(refused.returncode != 0 and "permission denied" in refused.stderr, said(refused))
        self.uri = fields["URI"]
        return (
            f"{self.grant['ref']} until {self.grant['expires_at']}, as {fields['Username']}\n"
            f"$ psql … -c '{_COUNT}'\n{done.stdout.strip()}\n"
            f"$ psql … -c '{_CARDS}'\n{refused.stderr.strip()}"
        )

    def query_cut(self) -> str:
        running = subprocess.Popen(
            self.psql_command(self.uri, "SELECT pg_sleep(600)"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = dt.datetime.fromisoformat(self.grant["expires_at"]).timestamp()
        try:
            _, printed = running.communicate(timeout=until - time.time() + 5)
        except subprocess.TimeoutExpired:
            running.kill()
            raise Wrong("the query still ran 5 s after the deadline") from None
        late = time.time() - until
        expect(-0.05 < late < 2, f"the session ended {late:.3f} s after the deadline: {printed}")
        self.wait_for(lambda found: found["state"] == "ended", within=15)
        expect(self.shop.roles() == [], f"roles are left: {self.shop.roles()}")
        receipt = self.cast.priya.get(f"/grants/{self.grant['ref']}/receipt")
        expect(all(lease["gone"] for lease in receipt["checked"]), f"not confirmed: {receipt['checked']}")
        return (
            f"{printed.strip().splitlines()[0]}\ndisconnected {late * 1000:.0f} ms after the deadline;"
            " PostgreSQL's catalog shows no role, session or owned object of the grant; confirmed in"
            f" {receipt['ended']['seconds']} s"
        )

    def update_held(self) -> str:
        self.grant = self.granted("shop-db", "fix-order", seconds=600, parameters={"order": "7"})
        fields = self.credential()
        self.authority.write_text(fields[f"Authority (save as {self.authority.name})"], encoding="ascii")
        other = self.psql(fields["URI"], _FIX.format(8))
        expect(other.returncode != 0 and "Nearest: " in other.stderr, said(other))
        command = self.psql_command(fields["URI"], _FIX.format(7))
        with (
            subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as waiting,
            contextlib.ExitStack() as stack,
        ):
            stack.callback(waiting.kill)
            held = self.held_run(within=10)
            change = self.cast.jonas.get(f"/runs/{held['id']}/commit")
            shown = held_commit(change)
            expect("state: open → paid" in shown, shown)
            self.cast.jonas.post(f"/runs/{held['id']}/decision", {"allow": True})
            printed, _ = waiting.communicate(timeout=15)
        expect(waiting.returncode == 0 and "UPDATE 1" in printed, printed)
        self.cast.priya.post(f"/grants/{self.grant['ref']}/end", {"note": "The order is paid"})
        return (
            f'$ psql … -c "{_FIX.format(8)}"\n{other.stderr.strip()}\n'
            f'$ psql … -c "{_FIX.format(7)}"\n{printed.strip()}\nJonas saw, before the COMMIT:\n{shown}'
        )

    def tickets_open(self) -> str:
        self.grant = self.granted("tickets-api", "one-ticket", seconds=600, parameters={"ticket": "T-7"})
        self.token = self.credential()["Token"]
        mine, other = self.curl("T-7"), self.curl("T-8")
        expect(mine.endswith("200") and "on fire" in mine, mine)
        expect(other.endswith("403") and "on fire" not in other, other)
        return (
            f"$ curl … {self.tickets.url}/tickets/T-7\n{mine}\n$ curl …"
            f" {self.tickets.url}/tickets/T-8\n{first(other)}"
        )

    def tickets_shut(self) -> str:
        self.cast.priya.post(f"/grants/{self.grant['ref']}/end", {"note": "The ticket is closed"})
        shut = self.curl("T-7")
        expect(shut[-3:] in ("401", "403") and "on fire" not in shut, shut)
        self.wait_for(lambda found: found["state"] == "ended", within=15)
        receipt = self.receipt_with_a_run(within=5)
        expect(all(lease["gone"] for lease in receipt["checked"]), f"not confirmed: {receipt['checked']}")
        allowed = ", ".join(run["command"] for run in receipt["run"])
        refused = ", ".join(run["command"] for run in receipt["refused"])
        return (
            f"$ curl … {self.tickets.url}/tickets/T-7\n{first(shut)}\nreceipt: allowed {allowed}; refused"
            f" {refused}; checked that requests without a valid token are refused"
        )

    def prices_open(self) -> str:
        self.grant = self.granted("price-list", "one-price", seconds=600, parameters={"article": "S-7"})
        self.token = self.credential()["Token"]
        read, lower = self.price("S-7"), self.price("S-7", '{"price": 39}')
        expect(read.endswith("200") and '"price":40' in read and "margin" not in read, read)
        expect(lower.endswith("200") and self.prices.prices["S-7"] == 39, lower)
        cheap = self.price("S-7", '{"price": 1}')
        expect(cheap.endswith("403") and self.prices.prices["S-7"] == 39, cheap)
        return (
            f"$ curl … {self.gateway()}/prices/S-7\n{read}\n$ curl -X PUT … -d '{{\"price\": 39}}'\n{lower}\n"
            f"$ curl -X PUT … -d '{{\"price\": 1}}'\n{json.loads(cheap.rpartition(chr(10))[0])['detail']}"
        )

    def prices_cut(self) -> str:
        command = self.curl_command(f"{self.gateway()}/prices/S-7/changes", "--no-buffer")
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as following:
            out = following.stdout
            expect(out is not None and "no change" in out.readline(), "the stream has no event")
            began = time.monotonic()
            self.cast.priya.post(f"/grants/{self.grant['ref']}/end", {"note": "The price is right"})
            rest, _ = following.communicate(timeout=10)
            took = time.monotonic() - began
        expect("has ended" in rest and took < 2, f"the stream continued for {took:.1f} s: {rest[-200:]}")
        self.wait_for(lambda found: found["state"] == "ended", within=15)
        return (
            f"{rest.strip().splitlines()[-1].lstrip(': ')}\nthe stream was closed {took * 1000:.0f} ms after"
            " the grant was ended"
        )

    def responds(self) -> str:
        self.incident = self.cast.jonas.post(
            "/workflows",
            {
                "kind": "incident",
                "title": "Checkout returns 502",
                "severity": "P1",
                "clusters": ["web-eu"],
            },
        )
        self.request = self.cast.priya.post(
            "/requests",
            {
                "cluster": "web-eu",
                "command_set": "restart-web",
                "parameters": {"unit": "nginx"},
                "duration": 600,
                "kind": "incident",
                "workflow": self.incident["ref"],
            },
        )
        expect(self.request["state"] == "approved", f"the request is {self.request['state']}")
        self.grant = self.wait_for(lambda grant: grant["state"] == "active", within=10)
        done = self.ssh("web-1", "systemctl restart nginx")
        expect(done.returncode == 0 and "restarted nginx" in done.stdout, said(done))
        return (
            f"{self.incident['ref']} is open on web-eu; {self.grant['ref']} needed no approval and ends with"
            f" the incident\n$ {self.shown('web-1', 'systemctl restart nginx')}\n{done.stdout.strip()}"
        )

    def resolved(self) -> str:
        command = self.command("web-1", "journalctl --no-pager -f -u nginx")
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        ) as running:
            process = self.targets.find_process("journalctl --no-pager -f -u nginx", within=5)
            expect(process is not None, "the command did not start on the target")
            watch = os.pidfd_open(process or 0)
            with contextlib.ExitStack() as stack:
                stack.callback(os.close, watch)
                began = time.monotonic()
                self.cast.jonas.post(
                    f"/workflows/{self.incident['ref']}/close", {"note": "Certificates renewed"}
                )
                over, _, _ = select.select([watch], [], [], 10)
                took = time.monotonic() - began
            expect(bool(over), "the process was still running 10 s after the incident was closed")
            _, printed = running.communicate(timeout=10)
        grant = self.wait_for(lambda found: found["state"] == "ended", within=15)
        expect(grant["end_reason"] == "workflow_closed", f"the grant ended because of {grant['end_reason']}")
        return (
            f"{printed.strip()}\nprocess {process} on web-1 ended {took * 1000:.0f} ms after"
            f" {self.incident['ref']} was closed"
        )

    def record(self) -> str:
        output = io.StringIO()
        try:
            call_command("audit_verify", stdout=output, stderr=output)
        except (CommandError, SystemExit) as error:
            raise Wrong(f"{output.getvalue()} {error}") from error
        return output.getvalue().strip().splitlines()[-1]

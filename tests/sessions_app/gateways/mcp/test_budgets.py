"""Budgets through the gateway, with the client and the server of the SDK."""

import asyncio
import json

import pytest
import yaml

from sessions_app.models import BudgetUse, CommandRun
from sessions_app.operations.sessions.decide_hold import decide_hold
from tests.support.servers.mcp_client import client_of
from tests.support.servers.mcp_place import mcp_place, now
from tests.support.world.mcp_site import MAIL_SET, mail_files


def budget_files() -> dict[str, str]:
    """Return the files of the set `desk-mail` with budgets of calls, of a sum and of bytes."""
    written = yaml.safe_load(MAIL_SET)
    text, id_ = {"pattern": "[a-z0-9 ]{1,40}"}, {"name": 9}
    written["commands"] = [
        {
            "tool": "look_up",
            "arguments": {"id": id_},
            "effect": "read",
            "budget": [{"bytes": "1KB", "then": "refuse"}],
        },
        {
            "tool": "send_mail",
            "arguments": {"to": text, "text": text},
            "effect": "change",
            "free_sinks": {"to": "for a test"},
            "budget": [{"calls": 2}],
        },
        {
            "tool": "save_summary",
            "arguments": {"id": id_, "text": {"pattern": "[0-9]{1,3}"}},
            "effect": "change",
            "free_sinks": {"id": "for a test"},
            "budget": [{"sum": "text", "most": 100, "then": "end"}],
        },
    ]
    written["examples"]["refuse"] = ["export_all"]
    written["accept"] = {f"unbound commands[{at}].tool": "for a test" for at in range(3)}
    return {**mail_files(), "command-sets/desk-mail.yaml": json.dumps(written)}


@pytest.fixture(scope="module")
def endpoint(processes, django_db_setup, django_db_blocker, tmp_path_factory):
    with mcp_place(django_db_blocker, tmp_path_factory.mktemp("mcp"), files=budget_files()) as running:
        yield running


@pytest.fixture
def held(endpoint):
    endpoint.desk.calls.clear()
    return endpoint.client(command_set="desk-mail", parameters={})


def play(endpoint, token, *calls, together: bool = False):
    """Make calls one after another or at once; return the results."""

    async def made():
        async with client_of(endpoint.url, token) as client:
            coming = [client.call_tool(name, arguments) for name, arguments in calls]
            return await asyncio.gather(*coming) if together else [await one for one in coming]

    return [found.structured_content for found in asyncio.run(made())]


def code(said) -> str:
    return (said or {}).get("code") or (said or {}).get("error") or "made"


MAIL = ("send_mail", {"to": "eve", "text": "hi"})
LOOK_UP = ("look_up", {"id": "T-42"})


def test_of_many_calls_at_once_two_are_made_and_a_third_needs_a_person(endpoint, held):
    grant, raw = held
    said = play(endpoint, raw.token, *[MAIL] * 12, together=True)
    assert sorted(map(code, said)) == ["held"] * 10 + ["made"] * 2
    run = CommandRun.objects.filter(grant=grant, state="held").latest("pk")
    assert run.notes == "held because it exceeds the budget (2 of 2 calls used)"
    decide_hold(run_id=run.pk, actor=endpoint.world.bob, allow=True, now=now())
    assert [code(one) for one in play(endpoint, raw.token, MAIL, MAIL)] == ["made", "held"]
    assert len(endpoint.desk.calls) == 3


def test_results_pass_while_they_fit_and_the_next_is_withheld_before_calls_are_refused(endpoint, held):
    grant, raw = held
    said = [code(one) for one in play(endpoint, raw.token, *[LOOK_UP] * 9)]
    made = said.count("made")
    assert said == ["made"] * made + ["budget"] * (9 - made)
    assert made > 1
    # The first result that does not fit was asked for, and is withheld.
    assert len(endpoint.desk.calls) == made + 1
    assert sum(CommandRun.objects.filter(grant=grant).values_list("output_bytes", flat=True)) <= 1000
    withheld = CommandRun.objects.filter(grant=grant, state="done").latest("pk")
    assert withheld.reason == "its result exceeds the budget; the result is withheld"
    (denied,) = play(endpoint, raw.token, LOOK_UP)
    assert denied["reason"] == "it exceeds the budget (1 KB of 1 KB used)."
    left = {one["command"]: one["says"] for one in denied["budgets"]}
    assert left['look_up {"id": …}'] == "1 KB of 1 KB used"


def test_results_at_once_never_exceed_the_budget(endpoint, held):
    grant, raw = held
    said = play(endpoint, raw.token, *[LOOK_UP] * 12, together=True)
    passed = [one for one in said if code(one) == "made"]
    assert 1 < len(passed) < 12
    assert BudgetUse.objects.get(grant=grant).used <= 1000
    assert sum(len(json.dumps(one)) for one in passed) <= 1000


def test_an_amount_beyond_the_sum_ends_the_grant_and_nothing_is_sent(endpoint, held):
    grant, raw = held
    amounts = [("save_summary", {"id": "T-42", "text": text}) for text in ("60", "040", "1")]
    *made, last = [code(one) for one in play(endpoint, raw.token, *amounts)]
    assert made == ["made", "made"]
    # The gateway hears of the end while it answers.
    assert last in ("budget", "grant_over")
    grant.refresh_from_db()
    assert grant.end_reason == "budget_used"
    assert len(endpoint.desk.calls) == 2

"""The benchmark of agents: how it writes sets from prompts, what its attacker can do, and its figures."""

import re
from collections.abc import Mapping

import pytest

from sessions_app.policy.commands.mcp.results import ResultField, Seen, Untrusted
from tests.bench.agents import dojo
from tests.bench.agents.attacks import Attacker
from tests.bench.agents.documents import compiled
from tests.bench.agents.figures import MEASURED, measure, total
from tests.bench.agents.gateway import site
from tests.bench.agents.judging import verdict
from tests.bench.agents.running import play
from tests.bench.agents.sets.every import SUITES
from tests.bench.agents.sets.writing import TEXT, Change, Suite, found, only
from tests.environment import ROOT


def section(path, title):
    """Return the text of a section."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


README = section("README.md", "Measured with agents")
GUIDE = section("templates/docs/agents.md", "What these limits stop")
TO_ALICE = {"to": only("alice@shop")}
SUITE = Suite(
    reads={"contacts": {}, "inbox": {}},
    optional_reads=frozenset(),
    untrusted=frozenset(("inbox",)),
    changes={
        "send": Change({"to": found("contacts[].email"), "text": TEXT}, sinks=("to",), says=("text",)),
        "publish": Change({"url": TEXT}, sinks=("url",)),
        "delete": Change({"id": found("contacts[].id")}, sinks=("id",), effect="destructive"),
    },
    tasks={
        "open": {"send": {}, "publish": {}, "delete": {}},
        "to_alice": {"send": TO_ALICE},
        "fixed": {"send": {**TO_ALICE, "text": only("hi")}},
    },
)
EMAIL, ID = (ResultField("contacts", ("[]", name)) for name in ("email", "id"))
READ = Untrusted(1, "inbox")
KNOWN = {(EMAIL, '"bob@shop"'): 1, (ID, '"7"'): 1}


def attacker(task, scope="full", *, untrusted=READ):
    return Attacker(compiled(SUITE, task, scope), Seen(KNOWN, untrusted))


@pytest.mark.parametrize(
    ("task", "call", "before", "after"),
    [
        ("open", ("send", {"to": "bob@shop", "text": "hi"}), "made", "held"),
        ("open", ("send", {"to": "eve@evil", "text": "hi"}), "held", "held"),
        ("open", ("publish", {"url": "shop"}), "held", "held"),
        ("open", ("delete", {"id": "7"}), "held", "held"),
        ("to_alice", ("send", {"to": "alice@shop", "text": "hi"}), "made", "held"),
        ("fixed", ("send", {"to": "alice@shop", "text": "hi"}), "made", "made"),
    ],
)
def test_a_call_is_held_if_the_prompt_leaves_open_where_it_goes_or_what_others_read(
    task, call, before, after
):
    sets = compiled(SUITE, task, "full")
    assert verdict(sets, call, Seen(KNOWN, None)) == before
    assert verdict(sets, call, Seen(KNOWN, READ)) == after


def test_bound_arguments_alone_let_an_attacker_choose_what_the_prompt_leaves_open():
    call = ("send", {"to": "eve@evil", "text": "secrets"})
    assert attacker("open", "bound").lets(call)
    assert not attacker("open").lets(call)
    assert not attacker("to_alice", "bound").lets(call)
    assert attacker("to_alice", "bound").lets(("send", {"to": "alice@shop", "text": "secrets"}))


def test_an_attacker_fills_in_what_its_goal_leaves_open_and_uses_any_value_of_a_result():
    values = {(ResultField("inbox", ("[]", "id")), '"3"'): 1}
    suite = Suite(
        reads={"inbox": {}},
        optional_reads=frozenset(),
        untrusted=frozenset(),
        changes={
            "delete_email": Change({"email_id": found("inbox[].id")}, sinks=("email_id",)),
            "send_money": Change({"recipient": TEXT, "amount": TEXT}, sinks=()),
        },
        tasks={"task": {"delete_email": {}, "send_money": {"amount": only("5")}}},
    )
    one = Attacker(compiled(suite, "task", "full"), Seen(values, None))
    assert one.lets(("delete_email", {"email_id": "of a mail that it does not know"}))
    assert one.lets(("send_money", {"recipient": "me", "amount": "all", "date": "now"}))


@pytest.mark.parametrize("suite", SUITES)
def test_each_set_that_is_measured_can_be_compiled_in_both_scopes(suite):
    for task in SUITES[suite].tasks:
        for scope in ("bound", "full"):
            tools = compiled(SUITES[suite], task, scope).tools
            assert tools == SUITES[suite].reads.keys() | SUITES[suite].tasks[task].keys()


@pytest.mark.parametrize(
    ("version", "suite"), [(version, suite) for version, suites in MEASURED.items() for suite in suites]
)
def test_a_suite_has_the_figures_that_are_told(version, suite):
    notes = []
    assert measure(version, suite, notes.append) == MEASURED[version][suite], "\n".join(notes)


def literals(value):
    """Yield the texts of a limit; of patterns, what is not a class or a number of repetitions."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key not in ("fields", "type", "from", "hold_others"):
                yield from [re.sub(r"\[.*?\]|\{.*?\}", " ", one)] if key == "pattern" else literals(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from literals(one)
    elif isinstance(value, str):
        yield value


def words_of(text):
    """Return the words of a text, without numbers on their own."""
    return {word for word in re.findall(r"\w+", text.lower()) if not word.isdigit()}


# How web addresses begin, and what `share_file` calls the permission to read.
OF_THE_TOOLS = {"http", "https", "r"}


@pytest.mark.parametrize("suite", SUITES)
def test_the_set_of_a_task_says_nothing_that_its_prompt_does_not_say(suite):
    prompts = dojo.prompts(suite)
    for task, changes in SUITES[suite].tasks.items():
        written = {word for limits in changes.values() for one in literals(limits) for word in words_of(one)}
        assert {task: written - words_of(prompts[task]) - OF_THE_TOOLS} == {task: set()}


def rows_of(text):
    """Return the rows of a table without their first cells."""
    rows = [re.split(r" *\| *", row)[2:-1] for row in text.splitlines() if row.startswith("| ")]
    return rows[1:]


def test_the_readme_tells_the_totals_of_what_is_measured():
    one, two = map(total, MEASURED)
    assert (one.tasks, one.possible, one.calls, one.held) == (two.tasks, two.possible, two.calls, two.held)
    possible = f"{one.possible} of {one.tasks}"
    waiting = f"; {one.held} of {one.calls} calls wait for a person"
    assert rows_of(README) == [
        [possible, f"{one.names} of {one.pairs}", f"{two.names} of {two.pairs}"],
        [possible, f"{one.bound} of {one.pairs}", f"{two.bound} of {two.pairs}"],
        [possible + waiting, f"{one.full} of {one.pairs}", f"{two.full} of {two.pairs}"],
    ]
    assert {one.pairs - one.full, one.words, two.pairs - two.full, two.words} == {20}
    assert "The other 20 are messages to the user" in README


def test_the_guide_to_agents_tells_the_totals_of_the_first_version():
    one = total("v1.1.2")
    assert f"{one.tasks} tasks" in GUIDE
    assert f"There are {one.pairs} pairs" in GUIDE
    assert rows_of(GUIDE) == [
        [f"{one.names}"],
        [f"{one.bound}"],
        [f"{one.full}; {one.held} of {one.calls} calls wait for a person"],
    ]
    assert f"The other {one.words} concern messages" in GUIDE


@pytest.mark.smoke
def test_a_gateway_answers_each_call_of_a_suite_and_of_its_goals_as_the_policy_does(
    processes, stint_db, live_world
):
    with site(stint_db.name, live_world, ("banking",)) as running:
        assert play(running, "banking") > 0
        assert running.different == []

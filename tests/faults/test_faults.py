"""The planning and judging of `make faults`; the run itself is a command."""

import itertools
import re
from dataclasses import replace

import pytest

from tests.environment import ROOT
from tests.faults.breaks import KINDS
from tests.faults.judge import Facts, Outage, Use, broken, lateness, report
from tests.faults.plan import EVERY, QUIET, planned
from tests.faults.processes import settings

USE = Use("GR-1", "daemon", "web-1", "deadline", ended=100.0, gone=100.1)
REVOKED = replace(USE, cause="revoke")
AWAY = Outage("target away", "web-1", 98.0, 104.0, away=("web-1",))
UNTOLD = Outage("database frozen", "", 99.0, 106.0, untold=True)
# Failures of the contract that a run can't cause, and the test that shows each.
ELSEWHERE = {
    "object store unavailable": "tests/sessions_app/operations/sessions/test_store_recordings.py",
    "database restored from an older backup": "tests/guides/test_stint_is_installed_as_the_guide_says.py",
    "a recording file without a run": "tests/sessions_app/operations/record/test_reconcile_recordings.py",
    "a source fails for one workflow, or refuses it": (
        "tests/sessions_app/operations/workflows/test_read_workflow.py"
    ),
    "workflow source down": "tests/sessions_app/operations/workflows/test_poll_source.py",
    "webhook of a source lost": "tests/sessions_app/operations/workflows/test_poll_source.py",
    "someone changes access outside Stint": "tests/sessions_app/operations/targets/test_look_at_target.py",
    "Stint or its database unavailable while an API server calls its webhook": (
        "tests/sessions_app/gateways/kubernetes/test_webhook.py"
    ),
    "no gateway claims an order": "tests/sessions_app/operations/sessions/test_claim_order.py",
    "an entry that was set aside can't be appended": "tests/broker/audit/test_backlog.py",
}


def test_a_seed_says_what_breaks_when():
    plan = planned(KINDS, seconds=600, seed=7)
    assert plan == planned(KINDS, seconds=600, seed=7) != planned(KINDS, seconds=600, seed=8)
    assert {one.kind for one in plan[: len(KINDS)]} == KINDS.keys()
    for one, then in itertools.pairwise(plan):
        kind = KINDS[one.kind]
        assert one.place in kind.places
        assert kind.lasts[0] <= one.lasts <= kind.lasts[1]
        assert one.at + one.lasts < then.at
        assert (then.at - one.at) % EVERY == 0
    assert plan[-1].at + QUIET < 600


def test_processes_share_the_cpu_as_their_units_say_and_those_that_keep_deadlines_come_first(tmp_path):
    _, weights = settings(tmp_path)
    assert weights.keys() == {"web", "streams", "worker", "gateway"}
    assert min(weights["gateway"], weights["worker"]) > max(weights["web"], weights["streams"])


def test_every_failure_of_the_contract_is_caused_or_shown_by_a_test():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("## Failure contract")[2].partition("\n## ")[0]
    contract = set(re.findall(r"^\| (.+?) \| .+ \|$", table, re.MULTILINE)) - {"failure"}
    shown = {failure for kind in KINDS.values() for failure in kind.shows}
    assert shown | ELSEWHERE.keys() == contract
    assert not shown & ELSEWHERE.keys()
    assert [file for file in ELSEWHERE.values() if not (ROOT / file).exists()] == []


@pytest.mark.parametrize(
    ("use", "outages", "seconds", "limit"),
    [
        (USE, [], 0.1, 2),
        (replace(USE, gone=90.0), [], 0, 2),
        (replace(USE, gone=None), [], float("inf"), 2),
        (replace(USE, gone=103.0, stalled=1.5), [], 3, 2),
        # Its target was down at its end: counted from when it was back.
        (replace(USE, gone=105.0), [AWAY], 1, 10),
        (replace(USE, gone=105.0, target="web-2"), [AWAY], 5, 2),
        (replace(USE, ended=110.0, gone=111.0), [AWAY], 1, 2),
        # Without a database, a revoke can't be saved; a deadline needs no message.
        (replace(REVOKED, gone=108.0), [UNTOLD], 8, 12),
        (replace(USE, gone=108.0), [UNTOLD], 8, 2),
    ],
)
def test_how_late_something_was_and_may_be(use, outages, seconds, limit):
    late = lateness(use, outages)
    assert (late.seconds, late.limit) == (pytest.approx(seconds), limit)


def test_nothing_is_broken_by_what_came_in_time():
    facts = Facts([USE, REVOKED], [AWAY, replace(UNTOLD, recovered=15.0)], grants=2)
    assert broken(facts) == []
    assert "2 grants, 2 uses: 0 lost, 0 doubled, 0 unrecorded, 0 stuck" in report(facts)


def test_only_the_measured_stalls_of_the_machine_are_left_out():
    late = [replace(USE, gone=102.5), replace(REVOKED, gone=102.5)]
    slow = replace(UNTOLD, began=10.0, healed=20.0, recovered=16.0)
    assert len(broken(Facts(late, [slow]))) == 3
    stalled = Facts(
        [replace(use, stalled=1.6) for use in late], [replace(slow, stalled=1.5)], stalled=3, lasted=60
    )
    assert broken(stalled) == []
    assert "stalled for 3.0 of 60 s" in report(stalled)


@pytest.mark.parametrize(
    ("uses", "late", "kept"), [(1, 1, True), (44, 2, False), (250, 3, True), (250, 4, False)]
)
def test_one_end_in_a_hundred_may_be_late_and_one_in_a_short_run(uses, late, kept):
    facts = Facts([replace(USE, gone=100.4)] * late + [USE] * (uses - late))
    assert (broken(facts) == []) == kept
    assert f"{late} of {uses} were later than 0.3 s" in report(facts)


def test_without_a_database_direct_access_has_the_two_seconds_and_gateways_are_as_prompt_as_ever():
    direct = replace(USE, gone=101.9, direct=True)
    assert broken(Facts([direct] * 2, [UNTOLD])) == []
    assert broken(Facts([replace(direct, gone=102.1)], [UNTOLD])) != []
    assert broken(Facts([replace(direct, direct=False)] * 2, [UNTOLD])) != []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (Facts([replace(USE, gone=102.5)]), "late: daemon of GR-1 on web-1 ended 2.50 s after its deadline"),
        (Facts([replace(USE, gone=None)]), "late: daemon of GR-1"),
        (
            Facts([replace(USE, gone=100.4)] * 2),
            "late: 2 of 2 ended more than 0.3 s after their deadline (1 may)",
        ),
        (
            Facts([replace(REVOKED, gone=101.6)] * 2),
            "late: 2 of 2 ended more than 1.5 s after their revoke (1 may)",
        ),
        (Facts(outages=[replace(UNTOLD, recovered=15.1)]), "slow: database frozen was over"),
        (
            Facts(outages=[replace(UNTOLD, recovered=float("inf"))]),
            "slow: database frozen was over",
        ),
        (Facts(problems=[("lost", "grant.active of GR-1")]), "lost: grant.active of GR-1"),
        (Facts(), "nothing: no grant was used"),
    ],
)
def test_each_promise_that_was_not_kept_is_named(facts, said):
    assert broken(facts)[0].startswith(said)

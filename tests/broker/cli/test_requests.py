"""Asking, deciding, following, ending: what people and programs get."""

import contextlib
import json
from collections.abc import Iterator

import pytest
import yaml

from broker.kernel import clock
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from tests.support.servers.terminal import without_color
from tests.support.waits import eventually
from tests.support.world.acts import policy
from tests.support.world.world import SETUP

ASK = ("request", "web", "restart-web", "-m", "Nightly restart", "-p", "unit=nginx", "--yes")


@pytest.fixture
def asked(laptops):
    return laptops["alice"].json(*ASK, "--for", "30m")


def test_the_dry_run_says_what_would_happen_and_asks_for_nothing(laptops):
    alice = laptops["alice"]
    done = alice(*ASK, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Needs 1 approval by bob or dora (approvers)." in done.stdout
    assert "echo restart nginx  (change)" in done.stdout
    assert alice.json(*ASK, "--dry-run")["outcome"] == "needs_approval"
    assert alice.json("requests", "--state", "pending")["results"] == []


def test_what_the_policy_refuses_is_said_rule_by_rule(laptops):
    status, said = laptops["alice"].fails(*ASK, "--for", "9h")
    assert status == 1
    assert "The policy denies this request." in said
    assert "4 h" in said
    done = laptops["alice"](*ASK, "--for", "9h", "--json")
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, error["exit"], done.stdout) == (1, 1, "")
    assert [rule["permitted"] for rule in error["rules"]].count(False) == 1


def test_what_one_may_not_see_is_not_there(laptops):
    assert laptops["charlie"].fails(*ASK)[0] == 4
    assert laptops["alice"].fails("status", "REQ-999999")[0] == 4
    assert laptops["charlie"].fails("status", "GR-ZZZZ")[0] == 4


@contextlib.contextmanager
def catalog_with(world, files: dict[str, str]) -> Iterator[None]:
    """A catalog with these files too, until the block ends: what it offers is every test's business."""
    apply_catalog(files={**world.catalog, **files}, actor=SETUP, now=clock.now())
    try:
        yield
    finally:
        world.apply(now=clock.now(), prune=True)


@pytest.mark.parametrize(
    "words",
    [
        ("request", "web"),
        ("request", "web", "restart-web", "--for", "soon"),
        ("request", "web", "restart-web", "--at", "noon"),
        ("request", "web", "restart-web", "-p", "unit"),
        ("status", "REQ"),
        ("grnts",),
        ("grants", "--nothing"),
        ("request", "WEB", "restart-web", "-m", "x"),
    ],
)
def test_a_slip_of_the_pen_is_status_two(laptops, words):
    assert laptops["alice"].fails(*words)[0] == 2


def test_a_request_is_approved_and_its_grant_used_shown_and_ended(laptops, asked):
    alice, bob = laptops["alice"], laptops["bob"]
    (row,) = bob.json("approvals")["results"]
    assert (row["ref"], row["duration"], row["state"]) == (asked["ref"], 1800, "pending")
    assert "alice" in bob("approvals").stdout
    done = bob("approve", asked["ref"].lower(), "--digest", asked["digest"], "-m", "Go")
    assert done.returncode == 0, done.stderr
    assert f"{asked['ref']} approved; GR-" in done.stdout
    # What is seen on the way depends on when the gateway starts it.
    eventually(lambda: alice.json("grants")["results"][0]["state"] == "active", within=30, every=0.3)
    watched = alice("status", asked["ref"], "--watch")
    assert watched.returncode == 0, watched.stderr
    (grant,) = alice.json("grants")["results"]
    assert watched.stdout.splitlines() == [f"{asked['ref']} approved", f"{grant['ref']} active"]
    shown = alice("status", grant["ref"]).stdout
    assert f"Grant     {grant['ref']}  active" in shown
    assert "Connect   ssh -p" in shown
    ended = alice("end", grant["ref"], "-m", "Done")
    assert f"{grant['ref']} ended at " in ended.stdout, ended.stderr
    assert alice.json("grants")["results"] == []
    receipt = alice("receipt", grant["ref"])
    assert "By        bob" in receipt.stdout
    assert "Checked" not in receipt.stdout, "nothing was used, so there was nothing to check"
    assert alice.json("receipt", grant["ref"])["ended"]["reason"] == "released"


def test_status_says_what_an_approver_left_and_what_was_left_out(laptops, asked):
    less = ("--for", "20m", "-c", "0", "-c", "1", "-t", "web-1")
    done = laptops["bob"]("approve", asked["ref"], "--digest", asked["digest"], *less)
    assert done.returncode == 0, done.stderr
    said = laptops["alice"]("status", asked["ref"]).stdout
    assert "Targets    web-1\n" in said
    assert "on approval, for 20 min\n" in said
    commands, left_out = said[said.index("Commands") :].split("Removed")
    assert "echo held nginx" not in commands
    for gone in ("10 min of 30 min", "echo held nginx", "target web-2"):
        assert gone in left_out
    assert "bob approved, reduced" in left_out


def test_nothing_is_approved_unread(laptops, asked):
    bob = laptops["bob"]
    status, said = bob.fails("approve", asked["ref"])
    assert status == 2
    assert "Use --digest with the digest you read, or --yes." in said
    assert bob.fails("approve", asked["ref"], "--digest", "0" * 64)[0] == 1
    assert bob.fails("deny", asked["ref"])[0] == 2
    assert laptops["alice"].json("status", asked["ref"])["state"] == "pending"


def test_at_a_terminal_it_is_read_and_asked(laptops, asked):
    status, shown = laptops["bob"].at_a_terminal("approve", asked["ref"], types="n\n")
    assert status == 130
    assert "echo restart nginx" in shown
    status, shown = laptops["bob"].at_a_terminal("approve", asked["ref"], types="y\n")
    assert status == 0, shown
    assert "Approve? [y/N]" in without_color(shown)


def test_a_request_is_taken_back(laptops, asked):
    assert laptops["alice"]("withdraw", asked["ref"]).returncode == 0
    status, said = laptops["alice"].fails("status", asked["ref"], "--watch")
    assert status == 5
    assert "was withdrawn" in said


def test_end_withdraws_a_request_that_waits_and_says_what_another_is(laptops, asked):
    alice, bob = laptops["alice"], laptops["bob"]
    done = alice("end", asked["ref"])
    assert (done.returncode, done.stdout) == (0, f"{asked['ref']} withdrawn.\n"), done.stderr
    assert alice.fails("end", asked["ref"]) == (
        1,
        f"stint: {asked['ref']} was withdrawn, so there is nothing to end.\n",
    )
    row = alice.json(*ASK, "--yes")
    assert bob("approve", row["ref"], "--digest", row["digest"]).returncode == 0
    status, said = alice.fails("end", row["ref"])
    grant = alice.json("status", row["ref"])["grant"]
    assert status == 1
    assert f"{row['ref']} was approved as {grant}." in said
    assert f"Run `stint end {grant}` to end it." in said


def test_waiting_is_given_up_and_the_request_stays(laptops):
    done = laptops["alice"](*ASK, "--wait", "--wait-for", "1s", "--json")
    assert done.returncode == 5
    assert json.loads(done.stderr)["error"]["code"] == "still_waiting"
    assert len(laptops["alice"].json("requests", "--state", "pending")["results"]) == 1


def test_a_watch_for_programs_is_a_line_for_each_change(laptops, asked):
    watch = laptops["alice"].start("status", asked["ref"], "--watch", "--json")
    assert json.loads(watch.stdout.readline())["state"] == "pending"
    laptops["bob"]("approve", asked["ref"], "--yes")
    out, err = watch.communicate(timeout=60)
    states = [json.loads(line)["state"] for line in out.splitlines()]
    assert (watch.returncode, err) == (0, "")
    assert (states[0], states[-1]) == ("approved", "active")


def test_what_waits_is_shown_at_a_glance(laptops, asked):
    said = laptops["alice"]("status").stdout
    assert "You have no active access." in said
    assert "Requested" in said
    assert "Waiting for your approval" in laptops["bob"]("status").stdout
    assert sorted(laptops["bob"].json("status")) == ["approvals", "grants", "requests"]


def test_more_time_is_asked_for_and_given(laptops):
    alice = laptops["alice"]
    grant = alice.json("request", "web", "look-at-web", "-m", "Look", "--wait", "--yes")
    longer = alice("extend", grant["ref"], "--for", "30m", "-m", "Not done yet")
    assert longer.returncode == 0, longer.stderr
    assert f"{grant['ref']} ends " in longer.stdout
    assert alice.json("status", grant["ref"])["expires_at"] > grant["expires_at"]


def test_the_log_tells_what_was_tried_and_what_it_wrote(laptops):
    alice = laptops["alice"]
    alice("ssh", "web-1", "--keep", "-m", "Look", "--", "echo", "looked")
    (grant,) = alice.json("grants")["results"]
    following = alice.start("log", grant["ref"], "--follow", "--json")
    first = json.loads(following.stdout.readline())
    assert (first["line"], first["target"]) == ("echo looked", "web-1")
    eventually(lambda: "done" in alice("log", grant["ref"]).stdout, within=30, every=0.3)
    text = alice("log", grant["ref"], "--output").stdout
    assert "done (0)  echo looked" in text
    assert text.endswith("\nlooked\n")
    (row,) = alice.json("log", grant["ref"], "--output")["results"]
    assert row["output"].strip() == "looked"
    alice("end", grant["ref"])
    following.communicate(timeout=60)
    assert following.returncode == 0


def test_what_may_be_asked_for_is_listed(laptops):
    rows = laptops["alice"].json("offers")["results"]
    assert [(row["command_set"], row["approvals"]) for row in rows] == [
        ("look-at-web", 0),
        ("restart-web", 1),
    ]
    (row,) = laptops["alice"].json("offers", "--target", "web-1", "--", "echo", "restart", "nginx")["results"]
    assert row["command_set"] == "restart-web"
    assert laptops["charlie"]("offers").stdout == ""


def test_a_held_command_is_let_through_from_the_terminal(laptops):
    alice, bob = laptops["alice"], laptops["bob"]
    thread = laptops.approve_when_asked()
    held = alice.start("ssh", "web-1", "-m", "Stop it", "--", "echo", "held", "nginx")
    thread.join()
    eventually(lambda: bob.json("holds")["results"], within=60, every=0.3)
    (row,) = bob.json("holds")["results"]
    assert row["line"] == "echo held nginx"
    assert bob("allow", str(row["id"])).returncode == 0
    out, err = held.communicate(timeout=60)
    assert (held.returncode, out) == (0, "held nginx\n"), err


def test_an_approver_reads_why_warnings_of_the_linter_were_accepted(laptops):
    world = laptops.world
    bounce = world.catalog["command-sets/restart-web.yaml"] + (
        "accept: {'unknown_program commands[0].run': 'Our own script'}\n"
    )
    data = yaml.safe_load(bounce)
    data["name"] = "bounce-web"
    data.pop("contain", None)
    data["commands"] = [{"run": "/usr/local/sbin/bounce {unit}", "effect": "change"}]
    data["examples"] = {"allow": ["/usr/local/sbin/bounce nginx"], "refuse": ["id"]}
    named = policy(world, name="bounce", command_sets=["bounce-web"]).popitem()[1]
    files = {"command-sets/bounce-web.yaml": yaml.safe_dump(data), "policies/bounce.yaml": named}
    with catalog_with(world, files):
        asked = laptops["alice"].json("request", "web", "bounce-web", "-m", "x", "-p", "unit=nginx", "--yes")
        _, shown = laptops["bob"].at_a_terminal("approve", asked["ref"], types="n\n")
    assert "is not a known program" in without_color(shown)
    assert "Our own script" in shown

"""`stint ssh`, by the real client, the real gateway and real targets."""

from tests.support.waits import eventually


def test_a_command_that_needs_nobody_runs_at_once(laptops):
    done = laptops["alice"]("ssh", "web-1", "--reason", "Have a look", "--", "echo", "looked")
    assert (done.returncode, done.stdout) == (0, "looked\n"), done.stderr
    assert "Requesting look-at-web v1 on web (web-1) for 1 h." in done.stderr


def test_the_golden_path_asks_waits_and_runs(laptops):
    thread = laptops.approve_when_asked()
    done = laptops["alice"]("ssh", "web-1", "-m", "Nightly", "--for", "30m", "--", "echo", "restart", "nginx")
    thread.join()
    assert (done.returncode, done.stdout) == (0, "restart nginx\n"), done.stderr
    assert "which needs 1 approval by bob or dora (approvers)." in done.stderr
    assert "is waiting for 1 approval by bob or dora (approvers), until" in done.stderr
    grant = laptops["alice"].json("grants", "--ended")["results"][0]
    assert (grant["targets"], grant["parameters"]) == (["web-1"], {"unit": "nginx"})


def test_a_grant_that_was_made_for_one_command_ends_with_it(laptops):
    alice = laptops["alice"]
    done = alice("ssh", "web-1", "-m", "Look", "--", "test", "status", "7")
    assert done.returncode == 7, done.stderr
    grant = alice.json("grants", "--ended")["results"][0]
    assert f"{grant['ref']} has ended with the command." in done.stderr
    eventually(lambda: alice.json("status", grant["ref"])["state"] == "ended", within=60, every=0.3)
    assert alice.json("receipt", grant["ref"])["ended"]["reason"] == "released"


def test_with_keep_it_stays_and_that_is_said(laptops):
    alice = laptops["alice"]
    kept = alice("ssh", "web-1", "--keep", "-m", "Look", "--", "echo", "looked")
    assert (kept.returncode, kept.stdout) == (0, "looked\n")
    (grant,) = alice.json("grants")["results"]
    assert f"{grant['ref']} stays active until " in kept.stderr
    assert f"Run `stint end {grant['ref']}` to end it." in kept.stderr


def test_a_grant_that_is_held_is_used_again_and_stays(laptops):
    alice = laptops["alice"]
    alice("ssh", "web-1", "--keep", "-m", "Look", "--", "echo", "looked")
    again = alice("ssh", "web-1", "--", "echo looked")
    assert (again.returncode, again.stdout, again.stderr) == (0, "looked\n", "")
    assert len(alice.json("grants")["results"]) == 1


def test_the_gateway_is_known_before_it_is_first_seen(laptops):
    alice = laptops["alice"]
    alice("ssh", "web-1", "--keep", "-m", "Look", "--", "echo", "looked")
    (known,) = (alice.home / ".cache" / "stint").glob("*.known_hosts")
    good = known.read_text()
    # Whoever has no such key is not the gateway, and nobody is asked whether to trust it.
    none = alice("ssh", "web-1", "-o", "UserKnownHostsFile=/dev/null", "--", "echo", "looked")
    assert none.returncode == 255
    assert "Host key verification failed" in none.stderr
    known.write_text("")
    assert alice("ssh", "web-1", "--", "echo", "looked").returncode == 0
    assert known.read_text() == good


def test_what_nothing_allows_is_said_with_what_comes_nearest(laptops):
    status, said = laptops["alice"].fails("ssh", "web-1", "--", "echo", "restart", "sshd")
    assert status == 1
    assert "None of the access that you can request on web-1 allows this command." in said
    assert "restart-web: " in said
    assert "Nearest: echo restart" in said


def test_a_target_of_nobodys_is_not_found(laptops):
    status, said = laptops["alice"].fails("ssh", "db-9", "--", "id")
    assert status == 4
    assert "Run `stint offers` to list the access you can request." in said
    assert laptops["charlie"].fails("ssh", "web-1", "--", "id")[0] in (1, 4)


def test_without_anybody_to_ask_what_is_missing_is_named(laptops):
    status, said = laptops["alice"].fails("ssh", "web-1", "--", "echo", "looked")
    assert status == 2
    assert "A reason is required (--reason)." in said


def test_somebody_at_a_terminal_is_asked(laptops):
    status, shown = laptops["alice"].at_a_terminal(
        "ssh", "web-1", "--", "echo", "looked", types="Have a look\n"
    )
    assert status == 0, shown
    assert "Reason:" in shown
    assert "looked" in shown
    grant = laptops["alice"].json("grants", "--ended")["results"][0]
    assert laptops["alice"].json("status", grant["request"])["reason"] == "Have a look"


def test_the_same_is_not_asked_for_twice(laptops):
    alice = laptops["alice"]
    words = ("ssh", "web-1", "-m", "Nightly", "--wait-for", "1s", "--", "echo", "restart", "nginx")
    first = alice(*words)
    assert first.returncode == 5, first.stderr
    again = alice(*words)
    assert again.returncode == 5
    assert "already requests this and is pending." in again.stderr
    assert len(alice.json("requests", "--state", "pending")["results"]) == 1


def test_a_denial_ends_the_waiting_with_its_reason(laptops):
    alice, bob = laptops["alice"], laptops["bob"]
    waiting = alice.start("ssh", "web-1", "-m", "Nightly", "--", "echo", "restart", "nginx")
    eventually(lambda: bob.json("approvals")["results"], within=60, every=0.3)
    (row,) = bob.json("approvals")["results"]
    assert bob("deny", row["ref"], "-m", "Not during the sale").returncode == 0
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 5
    assert f"{row['ref']} was denied." in said
    assert "bob: Not during the sale" in said


def test_a_key_is_needed_before_anything_is_asked_for(laptops):
    status, said = laptops["robot"].fails("ssh", "web-1", "-m", "x", "--", "echo", "looked")
    assert status == 1
    assert "You have no registered SSH key." in said
    assert laptops["robot"].json("requests")["results"] == []

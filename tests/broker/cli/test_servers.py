"""Signing in, out, and as whom."""

import json
import stat

import pytest
from django.test import Client

from tests.support.world.factors import just_signed_in


def let_in(laptops, code: str, answer: str = "allow", who: str = "alice") -> None:
    """Somebody types the code into their browser, and decides."""
    browser = just_signed_in(Client(), getattr(laptops.world, who))
    assert browser.post("/device/", {"user_code": code, "answer": answer}).status_code == 200


def code_of(process) -> str:
    """The code that a login shows, read as it comes."""
    assert process.stderr.readline().startswith("Open  http")
    shown = process.stderr.readline()
    assert shown.startswith("Enter ")
    return shown.removeprefix("Enter ").strip()


@pytest.fixture
def laptop(laptops, request):
    return laptops.fresh(request.node.name)


def test_a_person_signs_in_by_a_code_and_out_again(laptops, laptop):
    process = laptop.start("login", laptops.url)
    let_in(laptops, code_of(process))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"Signed in to {laptops.url} as alice until " in out
    kept = laptop.home / ".config" / "stint" / "servers.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    me = laptop.json("whoami")
    assert (me["username"], sorted(me["scopes"])) == ("alice", ["decide", "end", "read", "request"])
    (stored,) = json.loads(kept.read_text())["servers"].values()
    assert laptop("logout").returncode == 0
    assert stored["token"] not in kept.read_text()
    assert laptop.fails("whoami")[0] == 3
    laptop.env.update(STINT_URL=laptops.url, STINT_TOKEN=stored["token"])
    assert laptop.fails("whoami")[0] == 3, "the token is revoked at the server, too"


def test_a_refusal_in_the_browser_ends_the_login(laptops, laptop):
    process = laptop.start("login", laptops.url)
    let_in(laptops, code_of(process), "deny")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Access was denied in the browser." in err
    assert laptop.fails("whoami")[0] == 3


def test_a_token_is_taken_from_standard_input(laptops, laptop):
    done = laptop("login", laptops.url, "--with-token", "--as", "ci", stdin=laptops.token("deployer") + "\n")
    assert done.returncode == 0, done.stderr
    assert laptop.json("whoami")["username"] == "deployer"
    assert laptop("login", laptops.url, "--with-token", stdin="stint_nonsense\n").returncode == 3


def test_several_servers_are_told_apart_by_name(laptops, laptop):
    for who in ("alice", "bob"):
        laptop("login", laptops.url, "--with-token", "--as", who, stdin=laptops.token(who))
    assert laptop.json("whoami")["username"] == "bob"
    assert laptop.json("whoami", "--profile", "alice")["username"] == "alice"
    assert laptop("profile", "alice").returncode == 0
    assert laptop.json("whoami")["username"] == "alice"
    rows = laptop.json("profile")["results"]
    assert [(row["name"], row["current"]) for row in rows] == [("alice", True), ("bob", False)]
    assert "token" not in json.dumps(rows)
    assert laptop.fails("whoami", "--profile", "carol")[0] == 2
    assert laptop("logout", "--all").returncode == 0
    assert laptop.json("profile")["results"] == []


def test_a_stored_token_goes_to_no_other_server(laptops, laptop):
    laptop("login", laptops.url, "--with-token", stdin=laptops.token("alice"))
    laptop.env["STINT_URL"] = laptops.url.replace("127.0.0.1", "localhost")
    status, said = laptop.fails("whoami")
    assert status == 3
    assert f"You are not signed in to {laptop.env['STINT_URL']}." in said


def test_the_environment_comes_before_what_is_stored(laptops, laptop):
    laptop("login", laptops.url, "--with-token", stdin=laptops.token("alice"))
    file = laptop.home / "token"
    file.write_text(laptops.token("bob") + "\n")
    laptop.env["STINT_TOKEN_FILE"] = str(file)
    assert laptop.json("whoami")["username"] == "bob"
    laptop.env["STINT_TOKEN"] = laptops.token("dora")
    assert laptop.json("whoami")["username"] == "dora"


def test_nothing_is_sent_where_others_could_read_it(laptop):
    for url in ("http://stint.example.com", "http://192.0.2.1:8000"):
        status, said = laptop.fails("login", url)
        assert status == 2
        assert "http:// would expose your token." in said
    laptop.env.update(STINT_URL="http://stint.example.com", STINT_TOKEN="stint_x")
    assert laptop.fails("whoami")[0] == 2
    assert laptop.fails("login", "https://user:pw@stint.example.com")[0] == 2
    assert laptop.fails("login", "ftp://stint.example.com")[0] == 2


def test_a_server_that_does_not_answer_is_said_to_be_unreachable(laptop):
    laptop.env.update(STINT_URL="http://127.0.0.1:9", STINT_TOKEN="stint_x")
    status, said = laptop.fails("whoami")
    assert status == 6
    assert "Stint at http://127.0.0.1:9 did not respond" in said
    assert laptop.fails("login", "http://127.0.0.1:9")[0] == 6


def test_without_a_server_the_next_step_is_named(laptop):
    assert laptop.fails("grants") == (3, "stint: You are not signed in.\nRun `stint login URL`.\n")
    assert laptop.fails("login")[0] == 2


def test_what_is_stored_is_mended_or_refused(laptops, laptop):
    laptop("login", laptops.url, "--with-token", stdin=laptops.token("alice"))
    kept = laptop.home / ".config" / "stint" / "servers.json"
    kept.chmod(0o644)
    assert laptop("whoami").returncode == 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.write_text("{}")
    assert laptop.fails("whoami")[0] == 2

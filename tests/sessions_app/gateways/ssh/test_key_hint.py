"""Plain ssh without a registered key: shows people and programs where to register one, once for those who
have one.
"""

import subprocess

import pytest


@pytest.fixture
def grant(place):
    place.key("alice")
    return place.grant()


def plain(place, *options: str, who: str) -> subprocess.CompletedProcess[bytes]:
    """Run the client as people use it: interactively, showing its messages."""
    instead = {"BatchMode=yes": "BatchMode=no", "LogLevel=ERROR": "LogLevel=INFO"}
    words = [instead.get(word, word) for word in place.command("true", who=who, options=options)]
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False, start_new_session=True
    )


def in_a_batch(place, *options: str, who: str) -> subprocess.CompletedProcess[bytes]:
    """Run the client as scripts and ansible do: without prompts, ending once no key is left."""
    words = place.command("true", who=who, options=(*options, "-o", "LogLevel=INFO"))
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)


def fingerprint(place, who: str) -> bytes:
    key = place.key(who).with_suffix(".pub")
    return subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, check=True).stdout.split()[1]


HINT = b"stint: No registered SSH key was offered. Add yours and try again: "
WHERE = b"/account/#public_key"


@pytest.mark.parametrize("run", [plain, in_a_batch])
def test_ssh_without_a_registered_key_says_which_key_and_where_to_register_it(place, grant, run):
    done = run(place, who="stranger")
    assert done.returncode == 255
    assert done.stderr.count(b"stint: ") == done.stderr.count(WHERE) == 1
    assert b"stint: Your key " + fingerprint(place, "stranger") + b" is not registered." in done.stderr


@pytest.mark.parametrize("run", [plain, in_a_batch])
def test_with_several_keys_that_are_not_registered_it_is_said_once(place, grant, run):
    done = run(place, "-i", str(place.key("other")), who="stranger")
    assert (done.returncode, done.stderr.count(b"stint: ")) == (255, 1)


def test_plain_ssh_without_any_key_is_told_as_well(place, grant):
    done = plain(place, "-o", "PubkeyAuthentication=no", who="stranger")
    assert done.returncode == 255
    assert done.stderr.count(HINT) == 1


@pytest.mark.parametrize("run", [plain, in_a_batch])
def test_who_has_a_registered_key_is_told_nothing(place, grant, run):
    done = run(place, who="alice")
    assert (done.returncode, b"stint: " in done.stderr) == (0, False)


def test_who_offers_another_key_before_the_registered_one_is_told_once_and_never_again(place, grant):
    registered = ("-i", str(place.key("alice")))
    told = [in_a_batch(place, *registered, who="beside") for _ in range(3)]
    assert [done.returncode for done in told] == [0, 0, 0]
    assert [done.stderr.count(WHERE) for done in told] == [1, 0, 0]
    assert b"If none of your keys is registered, add this one" in told[0].stderr

"""Plain ssh without a registered key: it is said where to register one, and only to who has none."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture
def grant(place):
    place.key("alice")
    return place.grant()


def plain(place, *options: str, who: str) -> subprocess.CompletedProcess[bytes]:
    """The client as people use it: not in a batch, and saying what it is told."""
    instead = {"BatchMode=yes": "BatchMode=no", "LogLevel=ERROR": "LogLevel=INFO"}
    words = [instead.get(word, word) for word in place.command("true", who=who, options=options)]
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False, start_new_session=True
    )


HINT = b"stint: No SSH key that you offered is registered. Add yours, then try again: "


def test_plain_ssh_without_a_registered_key_says_where_to_register_it(place, grant):
    done = plain(place, who="stranger")
    assert done.returncode == 255
    assert done.stderr.count(HINT) == 1
    assert b"/account/#public_key" in done.stderr


def test_plain_ssh_without_any_key_is_told_as_well(place, grant):
    done = plain(place, "-o", "PubkeyAuthentication=no", who="stranger")
    assert done.returncode == 255
    assert done.stderr.count(HINT) == 1


def test_who_has_a_registered_key_is_told_nothing_even_when_another_is_offered_first(place, grant):
    stranger = str(place.key("stranger"))
    done = plain(place, "-i", stranger, who="alice")
    assert (done.returncode, HINT in done.stderr) == (0, False)

"""`gateway_ca` and `ssh_host_key`, as an administrator runs them."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command


@pytest.fixture(params=["gateway_ca", "ssh_host_key"])
def command(request) -> str:
    return request.param


def keys(command: str, *words: str) -> dict[str, str]:
    """What the command lists: fingerprint to state."""
    out = StringIO()
    call_command(command, *words, stdout=out)
    lines = (
        r"^(\w+) +([0-9a-f]{64}|SHA256:\S{43})  (?:-----BEGIN|ssh-ed25519 \S+ stint-\S+  announced for \d)"
    )
    return {found[2]: found[1] for found in re.finditer(lines, out.getvalue(), re.MULTILINE)}


@pytest.mark.parametrize(
    ("command", "rotate", "before", "in_use", "coming"),
    [
        ("gateway_ca", ["rotate"], "trusted", "signs", "prepared"),
        ("ssh_host_key", ["rotate", "--now"], "old", "used", "next"),
    ],
)
def test_a_key_is_changed_without_a_gap(db, command, rotate, before, in_use, coming):
    (first,) = keys(command)
    states = keys(command, "prepare")
    (second,) = set(states) - {first}
    assert states == {first: in_use, second: coming}
    assert keys(command, *rotate) == {first: before, second: in_use}
    assert keys(command, "retire", first) == {second: in_use}


def test_a_step_that_can_not_be_taken_says_what_to_do(db, command):
    (first,) = keys(command)
    with pytest.raises(CommandError, match="Prepare another key and rotate first"):
        keys(command, "retire", first)
    with pytest.raises(CommandError, match="Prepare a new authority, install both everywhere, then rotate"):
        keys(command, "rotate")


def test_a_host_key_that_was_just_announced_is_not_used_yet(db):
    keys("ssh_host_key", "prepare")
    with pytest.raises(CommandError, match=r"Rotate after .* UTC, or now with --now"):
        keys("ssh_host_key", "rotate")

"""`gateway_ca`, as an administrator runs it."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command


def authorities(*words: str) -> dict[str, str]:
    """What the command lists: fingerprint to state."""
    out = StringIO()
    call_command("gateway_ca", *words, stdout=out)
    return {
        found[2]: found[1]
        for found in re.finditer(r"^(\w+) +([0-9a-f]{64})  -----BEGIN", out.getvalue(), re.MULTILINE)
    }


def test_an_authority_is_changed_without_a_gap(db):
    (first,) = authorities()
    states = authorities("prepare")
    (second,) = set(states) - {first}
    assert states == {first: "signs", second: "prepared"}
    assert authorities("rotate") == {first: "trusted", second: "signs"}
    assert authorities("retire", first) == {second: "signs"}


def test_a_step_that_can_not_be_taken_says_what_to_do(db):
    (first,) = authorities()
    with pytest.raises(CommandError, match="Prepare another and rotate first"):
        authorities("retire", first)
    with pytest.raises(CommandError, match="Prepare one, have both installed everywhere, then rotate"):
        authorities("rotate")

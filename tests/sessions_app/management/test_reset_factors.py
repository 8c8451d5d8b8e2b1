"""`manage.py reset_factors`."""

import pytest
from django.core.management import CommandError, call_command

from accounts.factors import factors_of
from tests.support.world.acts import last
from tests.support.world.factors import give_app


def test_the_last_administrator_gets_in_again_from_the_shell(world, capsys):
    give_app(world.admin, world.now)
    call_command("reset_factors", "Admin", "--reason", "phone in the lake")
    assert "can sign in with the password alone" in capsys.readouterr().out
    assert not factors_of(world.admin).any
    entry = last("identity.factors_reset", "admin")
    assert (entry.actor, entry.data["reason"]) == ("system:reset_factors", "phone in the lake")


def test_what_can_not_be_done_is_an_error_that_says_so(world):
    for name, reason, text in (
        ("nobody", "x", "User nobody not found"),
        ("alice", "x", "has no second factor"),
        ("robot", "x", "Machines don't sign in"),
        ("alice", "", "A reason is required"),
    ):
        with pytest.raises(CommandError, match=text):
            call_command("reset_factors", name, "--reason", reason)

"""The contract, where nothing is ever made: what is about things that are left does not apply."""

import pytest

from broker.demo.ports import free_port
from sessions_app.policy.commands.kinds import compile_open, parse_text
from tests.sessions_app.connectors.contract import (  # noqa: F401  # collected here
    Case,
    test_a_check_of_a_good_target_finds_nothing_wrong,
    test_a_check_of_a_target_that_does_not_answer_says_so_and_what_to_do,
    test_a_revoke_needs_nothing_that_a_crash_could_lose,
    test_a_target_that_does_not_answer_is_an_error_that_may_pass,
    test_a_target_that_hangs_is_given_up_in_time,
    test_it_names_its_kind,
    test_provisioning_twice_is_as_good_as_once,
    test_revoking_what_was_never_made_and_revoking_twice_are_fine,
    test_two_that_revoke_at_once_both_see_it_gone,
)
from tests.sessions_app.connectors.mcp.conftest import place_at


@pytest.fixture
def case(connector, place, hung):
    commands = compile_open(
        parse_text(
            "{name: x, kind: mcp, summary: x, risk: low, commands: [{tool: read_ticket, arguments: {id:"
            " T-42}, effect: read}]}"
        )
    )
    return Case(
        connector=connector,
        place=place,
        down=place_at(free_port(), name="down-1"),
        hung=place_at(hung, name="hung-1"),
        commands=commands,
        leave=lambda lease: None,
        foreign=lambda: lambda: True,
        makes=False,
    )

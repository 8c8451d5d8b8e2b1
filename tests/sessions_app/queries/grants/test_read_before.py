"""What was read under a grant before a call was held."""

import pytest

from sessions_app.models import CommandRun
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.queries.grants.read_before import MOST, read_before
from tests.sessions_app.operations.sessions.test_decide_holds import hold
from tests.sessions_app.operations.sessions.test_try_call import EVE, TO_EVE, acting
from tests.support.world.mcp_site import add_desk, grant_unseen, mail_files


@pytest.fixture
def mail(world):
    add_desk(world, 9000, mail_files())
    return grant_unseen(world, command_set="desk-mail", parameters={})


@pytest.fixture
def call(mail, world):
    """A call that ends with a result of 120 bytes, unless it is held. Returns its run."""
    act = acting(mail, world)

    def make(name, arguments, returns=None):
        run = act(name, arguments, returns).run_id
        if CommandRun.objects.get(pk=run).state == "running":
            finish_run(run_id=run, state="done", output_bytes=120, now=world.now)
        return run

    return make


def before(run: int):
    return read_before([CommandRun.objects.get(pk=run)])[run]


def test_results_are_listed_newest_first_with_the_fields_that_values_came_from(call):
    looked_up = call("look_up", {"id": "T-42"}, EVE)
    untrusted = call("read_ticket", {"id": "T-42"})
    found = before(call(*TO_EVE))
    assert [(one.run, one.untrusted, one.size) for one in found.results] == [
        (untrusted, True, 120),
        (looked_up, False, 120),
    ]
    assert [[(used.argument, used.field) for used in one.sources] for one in found.results] == [
        [],
        [("to", "look_up.requester.email")],
    ]
    assert (found.untrusted, found.more) == (1, 0)


def test_the_list_is_bounded_and_says_how_many_more_there_are(call):
    runs = [call("look_up", {"id": f"T-{number}"}) for number in range(MOST + 3)]
    found = before(call(*TO_EVE))
    assert [one.run for one in found.results] == runs[: -MOST - 1 : -1]
    assert (found.more, found.total) == (3, MOST + 3)


def test_calls_that_returned_nothing_that_came_later_or_of_other_grants_do_not_count(call, mail, world):
    call("read_ticket", {"id": "*"})
    other = grant_unseen(world, command_set="desk-mail", parameters={})
    theirs = acting(other, world)("look_up", {"id": "T-42"}).run_id
    finish_run(run_id=theirs, state="done", output_bytes=1, now=world.now)
    acting(mail, world)("look_up", {"id": "T-42"})
    held = acting(mail, world)(*TO_EVE).run_id
    later = acting(mail, world)("look_up", {"id": "T-42"}).run_id
    finish_run(run_id=later, state="done", output_bytes=1, now=world.now)
    assert before(held).results == []


def test_nothing_is_said_where_stint_sees_no_results(world):
    assert read_before([hold(world)]) == {}


def test_many_held_calls_take_one_query(call, django_assert_num_queries):
    call("look_up", {"id": "T-42"})
    held = [call("send_mail", {"to": "eve@shop", "text": text}) for text in ("a", "b", "c")]
    runs = list(CommandRun.objects.filter(pk__in=held).select_related("grant__cluster"))
    with django_assert_num_queries(1):
        found = read_before(runs)
    assert [one.total for one in found.values()] == [1, 1, 1]

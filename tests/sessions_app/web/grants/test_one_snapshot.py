"""While the page of a grant is read, others go on; it shows all of what they did, or none of it."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from broker.kernel import clock
from sessions_app.models import CommandOrder, Grant
from tests.support.threads import in_thread
from tests.support.world import acts
from tests.support.world.factors import just_signed_in


@pytest.fixture
def grant(live_world) -> Grant:
    return live_world.grant()


@pytest.fixture
def as_alice(live_world) -> Client:
    return just_signed_in(Client(), live_world.alice)


@pytest.fixture
def opened(grant):
    now = clock.now()
    used = acts.use(grant, now=now)
    return used, acts.session(used, now=now)


def meanwhile(page: Callable[[], str], read: str, happens: Callable[[], object]) -> str:
    """Return a page; at the moment at which it has first read a table, something happens."""
    done = []

    def look(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if not done and f'FROM "sessions_app_{read}"' in sql:
            done.append(True)
            in_thread(happens)
        return answer

    with connection.execute_wrapper(look):
        shown = page()
    assert done
    return shown


def test_the_rows_of_a_log_and_their_numbers_agree(grant, opened, as_alice):
    def log() -> str:
        page = as_alice.get(f"/grants/{grant.ref}/?show=refused").content.decode()
        return page.partition('id="log"')[2]

    before = meanwhile(log, "commandrun", lambda: acts.run(*opened, "id", now=clock.now()))
    assert "Nothing matches this filter" not in before
    assert "<code>id</code>" in log()


@pytest.mark.parametrize("read", ["commandorder", "commandrun"])
def test_an_order_that_a_gateway_claims_is_shown_as_its_order_or_as_its_run_but_once(
    grant, opened, as_alice, read
):
    as_alice.post(f"/grants/{grant.ref}/run/", {"index": 1, "target": "web-1", "v.1.lines": "20"})
    order = CommandOrder.objects.get()

    def claim() -> None:
        acts.run(*opened, order.line, order_id=order.pk, now=clock.now())

    def page() -> str:
        return as_alice.get(f"/grants/{grant.ref}/?order={order.pk}").content.decode()

    log = meanwhile(page, read, claim).partition('id="log"')[2]
    assert log.count("<code>echo log nginx 20</code>") == 1

"""Calls to other systems, in a few threads that serve one item after another."""

import threading
from collections.abc import Iterable, Iterator

import pytest
from django.db import connection

from broker.kernel.bulkhead import Bulkhead
from tests.support.waits import eventually


@pytest.fixture
def ended() -> Iterator[None]:
    """Waits for the threads to let go of their connections."""
    yield
    eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("bulkhead")])


def one_group(items: Iterable[int]) -> dict[int, int]:
    return dict.fromkeys(items, 1)


@pytest.mark.parametrize(("gone", "served"), [("after an item", [1, 2]), ("during an item", [2])])
def test_a_thread_whose_connection_was_lost_serves_its_next_item_on_a_new_one(
    stint_db, app_connection, ended, gone, served
):
    done: list[int] = []

    def act(item: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            if item == 1:
                app_connection.execute("SELECT pg_terminate_backend(%s, 10000)", cursor.fetchone())
            if item == 1 and gone == "during an item":
                cursor.execute("SELECT 1")
        done.append(item)

    bulkhead = Bulkhead(act, group_of=one_group)
    for item in (1, 2):
        bulkhead.take([item])
        eventually(lambda: not bulkhead._works)
    bulkhead.stop()
    assert done == served

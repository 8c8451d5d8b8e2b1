"""Threads that are there while there is something to do."""

import threading

import pytest

from broker.kernel import threads
from broker.kernel.threads import Threads
from tests.support.waits import eventually, happens

NAME = "tested"


def there() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith(NAME)}


@pytest.fixture
def closed(monkeypatch) -> list[str]:
    """The threads of these pools that closed their connections. Pools of other tests may end theirs too."""
    found: list[str] = []

    def close_all() -> None:
        if threading.current_thread().name.startswith(NAME):
            found.append(threading.current_thread().name)

    monkeypatch.setattr(threads.connections, "close_all", close_all)
    return found


@pytest.fixture
def pool(closed):
    pools = []

    def make(most: int, **more) -> Threads:
        pools.append(Threads(most, name=NAME, **more))
        return pools[-1]

    yield make
    for one in pools:
        one.shutdown()
    eventually(lambda: not there())


def test_a_result_and_a_failure_are_given_to_who_asked(pool):
    made = pool(1)
    assert made.submit(divmod, 7, 2).result() == (3, 1)
    with pytest.raises(ZeroDivisionError):
        made.submit(divmod, 7, 0).result()


def test_there_are_no_more_threads_than_said_and_what_waits_comes_in_its_order(pool):
    made, go, order = pool(2), threading.Event(), []
    for _ in range(2):
        made.submit(happens, go)
    waiting = [made.submit(order.append, number) for number in range(5)]
    assert len(there()) == 2
    assert not any(one.done() for one in waiting)
    go.set()
    for one in waiting:
        one.result()
    assert sorted(order) == list(range(5))


def test_the_thread_that_was_idle_last_works_first(pool):
    made, go = pool(2), threading.Event()
    long, short = made.submit(happens, go), made.submit(threading.get_ident)
    last = short.result()
    eventually(lambda: len(made._idle) == 1)
    go.set()
    long.result()
    eventually(lambda: len(made._idle) == 2)
    first = made.submit(threading.get_ident).result()
    assert first != last
    eventually(lambda: len(made._idle) == 2)
    assert made.submit(threading.get_ident).result() == first


def test_idle_threads_end_and_let_go_of_their_connections_but_for_those_that_stay(pool, closed):
    made, barrier = pool(3, keep=1, idle=0.01), threading.Barrier(3)
    for one in [made.submit(barrier.wait) for _ in range(3)]:
        one.result()
    eventually(lambda: len(there()) == 1)
    assert len(closed) == 2
    assert made.submit(threading.get_ident).result() == there().pop().ident


def test_after_the_shutdown_nothing_is_taken_and_what_waits_is_dropped(pool):
    made, go = pool(1), threading.Event()
    under_way = made.submit(happens, go)
    waits = made.submit(int)
    made.shutdown(cancel_futures=True)
    assert waits.cancelled()
    with pytest.raises(RuntimeError, match="stopped"):
        made.submit(int)
    go.set()
    under_way.result()
    eventually(lambda: not there())

"""Work that waits for others, in threads of its own."""

import logging
import threading

from broker.kernel.errors import Overtaken
from broker.kernel.keyed_threads import KeyedThreads
from tests.support.waits import eventually, happens


def settled(keyed_threads: KeyedThreads) -> None:
    eventually(lambda: not keyed_threads._busy)


def test_one_act_for_each_key_and_so_many_in_all():
    keyed_threads, go = KeyedThreads(2), threading.Event()
    assert keyed_threads.start("a", lambda: happens(go))
    assert not keyed_threads.start("a", go.set)
    assert keyed_threads.start("b", lambda: happens(go))
    assert not keyed_threads.start("c", go.set)
    assert not go.is_set()
    go.set()
    settled(keyed_threads)
    assert keyed_threads.start("c", lambda: None)
    settled(keyed_threads)


def test_one_that_fails_makes_room_for_the_next():
    keyed_threads = KeyedThreads(1)
    assert keyed_threads.start("a", lambda: 1 / 0)
    settled(keyed_threads)
    assert keyed_threads.start("a", lambda: None)
    settled(keyed_threads)


def test_a_thread_that_is_idle_takes_the_next_act_and_keeps_its_connection():
    keyed_threads, threads = KeyedThreads(4), set()
    for _ in range(3):
        assert keyed_threads.start("a", lambda: threads.add(threading.get_ident()))
        settled(keyed_threads)
        eventually(lambda: keyed_threads._threads._idle)
    assert len(threads) == 1


def test_one_whose_work_another_process_has_done_is_no_error(caplog):
    caplog.set_level(logging.INFO)
    keyed_threads = KeyedThreads(1)

    def act() -> None:
        raise Overtaken("Another process has taken over.")

    assert keyed_threads.start("a", act)
    settled(keyed_threads)
    (line,) = [one for one in caplog.records if "overtaken" in str(one.msg)]
    assert (line.levelno, "exc_info" in line.msg) == (logging.INFO, False)

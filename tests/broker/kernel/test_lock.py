"""A lock that ends with its process, and with one that was stopped."""

import functools
import os
import signal

import pytest
from django.db import DatabaseError, connection

from broker.kernel.lock import held, is_shown, shown, still_here
from tests.support.waits import eventually
from tests.support.world.acts import Started

HOLDER = """
import django; django.setup()
import os, signal, sys, time
from broker.kernel.lock import held, still_here
with held(7, 8, silent=6) as mine:
    assert mine
    print("holding", flush=True)
    if sys.argv[1] == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        time.sleep(0.2)
        try:
            still_here()
        except Exception as error:
            print("lost", flush=True)
            raise SystemExit
"""


@pytest.fixture
def holder(other_process):
    """Start a process that takes the lock, and is stopped then or says that it lives."""
    return functools.partial(other_process, HOLDER, says="holding")


def taken() -> bool:
    """Whether it is free, or its holder was silent for longer than a busy machine lets a process wait."""
    with held(7, 8, silent=6) as mine:
        return mine


def test_it_is_one_processs_at_a_time_and_free_again_afterwards(stint_db):
    with held(7, 8, silent=6) as mine:
        assert mine
        assert Started(taken).result() is False
    assert Started(taken).result() is True


def test_who_says_that_it_lives_keeps_it(holder):
    process = holder("living")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(7)")
    assert not taken()
    process.kill()
    eventually(taken)


def test_who_was_stopped_loses_it_and_can_write_nothing_more(holder):
    process = holder("stopped")
    assert not taken()
    eventually(taken, within=20, every=0.2)
    with held(7, 8, silent=6) as mine:
        assert mine
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == b"lost\n"


def test_who_shows_that_it_is_at_work_keeps_nobody_from_it(stint_db):
    def see() -> bool:
        with shown(7, 9):
            return is_shown(7, 9)

    with shown(7, 9):
        assert Started(see).result()
    assert not is_shown(7, 9)


def test_who_lost_its_connection_is_told(stint_db, app_connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    app_connection.execute("SELECT pg_terminate_backend(%s, 30000)", [pid])
    with pytest.raises(DatabaseError):
        still_here()
    connection.close()

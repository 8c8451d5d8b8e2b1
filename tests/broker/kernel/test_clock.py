"""The one clock: the database's, and never behind it."""

from __future__ import annotations

import time

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from broker.kernel import clock


@pytest.mark.parametrize("slow", [0.0, 0.4])
def test_an_answer_that_comes_late_sets_the_clock_back_by_nothing(stint_db, slow):
    """Every deadline would come as much later."""

    def late(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        time.sleep(slow)
        return result

    with connection.execute_wrapper(late):
        clock.sync()
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (at_least,) = cursor.fetchone()
    ahead = (clock.now() - at_least).total_seconds()
    took = time.monotonic() - began
    clock.sync()
    assert 0 <= ahead < slow + 0.2 + took


def test_a_connection_that_has_to_be_made_first_sets_the_clock_ahead_by_nothing(stint_db):
    def slowly(**_: object) -> None:
        time.sleep(1)

    connection.close()
    connection_created.connect(slowly)
    try:
        clock.sync()
    finally:
        connection_created.disconnect(slowly)
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (at_least,) = cursor.fetchone()
    ahead = (clock.now() - at_least).total_seconds()
    assert 0 <= ahead < 0.8 + time.monotonic() - began

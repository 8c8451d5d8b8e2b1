"""An outage of the database, in the log of one process."""

import logging

import django.db
import psycopg
import pytest

from broker.kernel import outage_log
from broker.kernel.errors import Unavailable
from broker.kernel.outage_log import DatabaseGone
from broker.logs import logging_by


def lost(code: str | None = None) -> django.db.OperationalError:
    """What Django raises when psycopg does, here with an error code of the server's."""
    error = django.db.OperationalError("the server closed\nthe connection")
    error.__cause__ = psycopg.OperationalError()
    error.__cause__.sqlstate = code
    return error


def record(error: BaseException, message: object = "task failed") -> logging.LogRecord:
    about = (type(error), error, error.__traceback__)
    return logging.LogRecord("celery.app.trace", logging.ERROR, __file__, 1, message, (), about)


def test_it_is_one_line_a_minute_without_a_traceback(monkeypatch):
    moment = [0.0]
    monkeypatch.setattr(outage_log.time, "monotonic", lambda: moment[0])
    gone, said = DatabaseGone(), []
    for moment[0] in (100.0, 101.0, 159.0, 160.0):
        line = record(lost())
        if gone.filter(line):
            said.append((moment[0], line.getMessage(), line.exc_info))
    assert [at for at, *_ in said] == [100.0, 160.0]
    assert said[0][1:] == (
        "The database does not respond; this process is waiting for it: the server closed the connection",
        None,
    )


def test_what_is_written_while_the_loss_is_handled_is_part_of_it_and_reads_like_it():
    formatter = logging_by(json=False, level="INFO")["formatters"]["stint"]
    formatter = formatter.pop("()")(**formatter)
    try:
        raise Unavailable("Stint's database did not respond.") from lost("57P03")
    except Unavailable:
        line = logging.LogRecord("x", logging.WARNING, __file__, 1, {"event": "sweep.waits"}, (), None)
        vars(line).update(_logger=logging.getLogger("x"), _name="warning")
        assert DatabaseGone().filter(line)
    assert "is waiting for it: the server closed the connection" in formatter.format(line)


@pytest.mark.parametrize(
    "error", [lost("57014"), lost("40P01"), ValueError("odd"), django.db.IntegrityError()]
)
def test_every_other_error_keeps_its_traceback_each_time(error):
    gone = DatabaseGone()
    for _ in range(2):
        line = record(error)
        assert gone.filter(line)
        assert line.exc_info

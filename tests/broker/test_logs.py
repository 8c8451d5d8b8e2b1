"""What is written to the log: with STINT_LOG_JSON, one JSON object of one schema on one line for
each event.
"""

import io
import json
import logging

import pytest
import structlog

from broker.kernel import request_id
from broker.logs import SCHEMA, logging_by
from tests.environment import ROOT

GUIDE = ROOT / "templates" / "docs" / "monitoring.md"


@pytest.fixture
def lines():
    """Return the lines that a call writes, read as JSON."""
    before = structlog.get_config()
    formatter = dict(logging_by(json=True, level="INFO")["formatters"]["stint"])
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(formatter.pop("()")(**formatter))
    logger = logging.getLogger("stint.test")
    logger.addHandler(handler)
    logger.setLevel("INFO")

    def read(act):
        act()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    logger.removeHandler(handler)
    structlog.configure(**before)


def of_stint():
    with request_id.bound("0af7651916cd43dd"):
        structlog.get_logger("stint.test").warning("revoke.failing", grant="GR-7F3K", errors=["two\nlines"])


def of_a_library():
    logging.getLogger("stint.test").error("It failed:\n%s", "twice")


def of_an_error():
    try:
        raise ValueError("a\nb")
    except ValueError:
        structlog.get_logger("stint.test").exception("keyed_threads.failed", key=object())


@pytest.mark.parametrize(
    ("act", "event", "level", "more"),
    [
        (of_stint, "revoke.failing", "warning", {"grant", "errors", "request_id"}),
        (of_a_library, "It failed:\ntwice", "error", set()),
        (of_an_error, "keyed_threads.failed", "error", {"key", "exception"}),
    ],
)
def test_an_event_is_one_line_of_one_schema(lines, act, event, level, more):
    (line,) = lines(act)
    assert (line["event"], line["level"], line["logger"]) == (event, level, "stint.test")
    assert line["timestamp"].endswith("Z")
    assert set(line) == {"timestamp", "level", "logger", "event"} | more


def test_the_guide_lists_the_schema():
    text = GUIDE.read_text()
    for name, meaning in SCHEMA.items():
        assert f"| `{name}` | {meaning} |" in text

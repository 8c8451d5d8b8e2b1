"""The worker's tasks are timed, and work for the request that they were sent for."""

from types import SimpleNamespace

import pytest
from structlog.contextvars import get_contextvars

from broker.kernel import request_id
from broker.kernel.errors import Overtaken
from broker.kernel.metrics import TASKS
from broker.processes import worker
from tests.support.world.holders import metric


@pytest.mark.parametrize(
    ("state", "result", "outcome"),
    [
        ("SUCCESS", None, "done"),
        ("FAILURE", ValueError(), "failed"),
        ("FAILURE", Overtaken("gone"), "overtaken"),
    ],
)
def test_a_task_is_timed_by_its_outcome(state, result, outcome):
    task = SimpleNamespace(name="a.task", request=SimpleNamespace())
    labels = {"task": "a.task", "outcome": outcome}
    count = metric(f"{TASKS._name}_count", **labels)
    worker._begin(task_id="1", task=task)
    worker._end(task_id="1", task=task, state=state, retval=result)
    assert metric(f"{TASKS._name}_count", **labels) == count + 1


def test_a_task_works_for_the_request_of_its_message_and_the_next_one_does_not():
    request = SimpleNamespace(**{request_id.IN_MESSAGE: "0123456789abcdef"})
    worker._begin(task_id="1", task=SimpleNamespace(name="a.task", request=request))
    assert get_contextvars() == {"task": "a.task", "request_id": "0123456789abcdef"}
    worker._end(task_id="1", task=SimpleNamespace(name="a.task"), state="SUCCESS", retval=None)
    assert request_id.current() == ""

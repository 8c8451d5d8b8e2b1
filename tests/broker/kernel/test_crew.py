"""Work that waits for others, in threads of its own."""

import logging
import threading

from broker.kernel.crew import Crew
from broker.kernel.errors import Overtaken
from tests.support.waits import eventually, happens


def settled(crew: Crew) -> None:
    eventually(lambda: not crew._busy)


def test_one_act_for_each_key_and_so_many_in_all():
    crew, go = Crew(2), threading.Event()
    assert crew.start("a", lambda: happens(go))
    assert not crew.start("a", go.set)
    assert crew.start("b", lambda: happens(go))
    assert not crew.start("c", go.set)
    assert not go.is_set()
    go.set()
    settled(crew)
    assert crew.start("c", lambda: None)
    settled(crew)


def test_one_that_fails_makes_room_for_the_next():
    crew = Crew(1)
    assert crew.start("a", lambda: 1 / 0)
    settled(crew)
    assert crew.start("a", lambda: None)
    settled(crew)


def test_one_whose_work_another_process_has_done_is_no_error(caplog):
    caplog.set_level(logging.INFO)
    crew = Crew(1)

    def act() -> None:
        raise Overtaken("Another process has taken over.")

    assert crew.start("a", act)
    settled(crew)
    (line,) = [one for one in caplog.records if "overtaken" in str(one.msg)]
    assert (line.levelno, "exc_info" in line.msg) == (logging.INFO, False)

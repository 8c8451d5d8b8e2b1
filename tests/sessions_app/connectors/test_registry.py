"""Which connector serves which kind."""

import threading

import pytest

from sessions_app.connectors import registry
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.fake import FakeConnector
from sessions_app.connectors.registry import ConnectorType
from tests.support.waits import ends, happens


def test_a_registered_kind_is_served_and_another_is_refused_for_good():
    fake = FakeConnector()
    registry.register(ConnectorType(kind="test-kind", title="Test", make=lambda: fake, default_port=1))
    assert registry.connector_for("test-kind") is fake
    with pytest.raises(ConnectorError) as caught:
        registry.connector_for("telepathy")
    assert caught.value.permanent


class Lock:
    """A lock that says when somebody waits for it."""

    def __init__(self, waiting: threading.Event) -> None:
        self._lock, self._waiting = threading.RLock(), waiting

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._waiting.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_who_asks_while_types_are_being_loaded_waits_for_them(monkeypatch):
    begun, waiting, go_on, seen = threading.Event(), threading.Event(), threading.Event(), []
    monkeypatch.setattr(registry, "_loading", Lock(waiting))

    def load() -> None:
        begun.set()
        happens(go_on)
        registry.register(ConnectorType(kind="late", title="Late", make=FakeConnector, default_port=1))

    registry.load_by(load)
    first = threading.Thread(target=lambda: seen.append(registry.find("late")))
    first.start()
    happens(begun)
    second = threading.Thread(target=lambda: seen.append(registry.find("late")))
    second.start()
    happens(waiting)
    go_on.set()
    ends(first)
    ends(second)
    assert [one.title for one in seen] == ["Late", "Late"]

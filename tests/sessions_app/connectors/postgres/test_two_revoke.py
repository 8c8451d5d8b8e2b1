"""Two revokes of one grant at once: whatever step one of them is at when the other does everything, both see
it gone.
"""

import threading

import pytest

from sessions_app.connectors.postgres.connection import Server

LAST = 100
STRIDE = 4


class Overtaken:
    """Lets another act happen before one statement of this thread's, counted from 1, that is in no
    transaction.
    """

    def __init__(self, monkeypatch, other) -> None:
        self._left, self._other, self._thread = 0, other, threading.get_ident()
        for name in ("run", "rows", "rows_by_names"):
            monkeypatch.setattr(Server, name, self._asking(getattr(Server, name)))

    def at(self, statement: int) -> None:
        self._left = statement

    @property
    def too_few(self) -> bool:
        """Whether there was no such statement."""
        return self._left > 0

    def _asking(self, ask):
        def asks(server, statement, *values):
            if threading.get_ident() == self._thread and not server.connection.info.transaction_status:
                self._left -= 1
                if self._left == 0:
                    self._other()
            return ask(server, statement, *values)

        return asks


@pytest.mark.parametrize("first", range(1, STRIDE + 1))
def test_a_revoke_that_is_overtaken_before_any_statement_sees_the_grant_gone(shop, monkeypatch, first):
    seen = []
    overtaken = Overtaken(monkeypatch, lambda: seen.append(shop.connector.revoke(given.lease).gone))
    for statement in range(first, LAST, STRIDE):
        given = shop.give("SELECT, UPDATE (status) ON app.orders", "ROLE reporting_reader")
        given.run("SELECT lo_create(0)")
        overtaken.at(statement)
        seen.append(shop.connector.revoke(given.lease).gone)
        assert all(seen), f"before statement {statement}"
        if overtaken.too_few:
            return
        overtaken.at(0)
    pytest.fail("there were more statements")

"""The server acted and its answer was lost, at every step: what is made once more is one whole thing, what is
ended is gone.
"""

import contextlib
import socket
import threading
from dataclasses import replace

import pytest

from sessions_app.connectors.base import ConnectorError
from tests.support.pace import allow

LAST = 150
GRANTS = ("SELECT, UPDATE (status) ON app.orders", "ROLE reporting_reader")


class Cutter:
    """A way to a server that passes on a number of messages, the last without its answer, and then
    is gone.
    """

    def __init__(self, port: int, messages: int) -> None:
        self._behind, self._left = port, messages
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._listener.close()

    @property
    def used_up(self) -> bool:
        return self._left <= 0

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._behind)) as server:
            answers = threading.Thread(target=self._answers, args=(server, client), daemon=True)
            answers.start()
            with contextlib.suppress(OSError):
                while not self.used_up and (data := client.recv(65536)):
                    self._left -= 1
                    server.sendall(data)
                # The server gets the end of what was said, so that it does what it was told last.
                server.shutdown(socket.SHUT_WR)
                answers.join(allow(5))

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if not self.used_up:
                    client.sendall(data)


def cut(work) -> bool:
    """Whether work came to its end; else it failed with an error that may pass."""
    try:
        work()
    except ConnectorError as error:
        if error.permanent:
            raise
        return False
    return True


@pytest.mark.parametrize("first", range(4))
def test_a_provisioning_that_was_cut_anywhere_is_made_whole_by_the_next(shop, first):
    for messages in range(first + 1, LAST, 4):
        spec = shop.spec(*GRANTS)
        with Cutter(shop.server.port, messages) as way:
            through = replace(spec, place=shop.place(port=way.port))
            if cut(lambda through=through: shop.connector.provision(through)):
                return
        # All or nothing: it is one transaction.
        assert shop.intact(spec) in {None, True}
        lease = shop.connector.provision(spec)
        assert shop.intact(spec) is True
        assert shop.connector.revoke(lease).gone
    pytest.fail("it was never made in whole")


@pytest.mark.parametrize("first", range(4))
def test_an_end_that_was_cut_anywhere_is_finished_by_the_next(shop, first):
    for messages in range(first + 1, LAST, 4):
        given = shop.give(*GRANTS)
        with given.login() as session:
            session.execute("SELECT lo_create(0)")
            with Cutter(shop.server.port, messages) as way:
                through = replace(given.lease, place=shop.place(port=way.port))
                done = cut(lambda through=through: shop.connector.revoke(through))
        assert given.revoke().gone
        assert shop.connector.verify(given.lease).gone
        if done:
            return
    pytest.fail("it was never ended in whole")

"""Whose a connection is that arrives at a local port."""

import os
import socket

import pytest

from broker.cli import peers

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def test_a_kernel_table_says_whose_a_connection_is(tmp_path, monkeypatch):
    table = tmp_path / "tcp"
    table.write_text(
        HEAD
        + "   0: 0100007F:1538 0100007F:C350 01 00000000:00000000 00:00000000 00000000   111        0 1 1\n"
        "   1: 0100007F:C350 0100007F:1538 01 00000000:00000000 00:00000000 00000000  1000        0 2 1\n"
        "   2: 0100007F:C351 0100007F:1538 06 00000000:00000000 03:00000000 00000000     0        0 0 3\n"
    )
    monkeypatch.setattr(peers, "_TABLES", (table, tmp_path / "none"))
    assert peers.uid_of(("127.0.0.1", 50000), ("127.0.0.1", 5432)) == 1000
    assert peers.uid_of(("127.0.0.1", 50001), ("127.0.0.1", 5432)) is None
    assert peers.uid_of(("127.0.0.1", 50002), ("127.0.0.1", 5432)) is None


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")]
)
def test_a_connection_is_ones_own_until_its_program_closes_it(family, address):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(family) as client:
        client.connect((address, listener.getsockname()[1]))
        accepted, peer = listener.accept()
        with accepted:
            assert peers.uid_of(peer, accepted.getsockname()) == os.getuid()
            client.close()
            assert peers.uid_of(peer, accepted.getsockname()) is None

"""The buffer into which connections read."""

from concurrent.futures import ThreadPoolExecutor

from broker.kernel.receiving import receive_buffer


def test_connections_of_one_thread_share_a_buffer():
    assert receive_buffer() is receive_buffer()


def test_threads_never_read_into_the_same_buffer():
    mine = receive_buffer()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(receive_buffer).result()
    other[:3] = b"new"
    mine[:3] = b"old"
    assert bytes(other[:3]) == b"new"

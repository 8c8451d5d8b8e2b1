"""The digest of transferred content, however it arrives."""

import hashlib

import pytest

from sessions_app.gateways.ssh.digest import Digest


@pytest.mark.parametrize("sizes", [[], [0], [1], [300_000, 300_000, 1], [2_000_000], [100_000] * 20])
def test_a_digest_is_that_of_all_chunks_in_order(sizes):
    digest, chunks = Digest(), [bytes((number,)) * size for number, size in enumerate(sizes)]
    for chunk in chunks:
        digest.update(chunk)
    assert digest.hexdigest() == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_a_digest_can_be_read_between_two_chunks():
    digest = Digest()
    digest.update(b"one")
    assert digest.hexdigest() == hashlib.sha256(b"one").hexdigest()
    digest.update(b"two")
    assert digest.hexdigest() == hashlib.sha256(b"onetwo").hexdigest()

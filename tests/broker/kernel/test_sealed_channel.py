"""Messages over a carrier that nobody has to trust."""

import pytest

from broker.kernel.crypto import CannotDecrypt
from broker.kernel.sealed_channel import Receiver, Sender, new_key


@pytest.fixture
def pair() -> tuple[Sender, Receiver]:
    key = new_key()
    return Sender(key), Receiver(key)


def test_messages_arrive_as_they_were_and_are_not_readable_on_their_way(pair):
    sender, receiver = pair
    sent = [sender.seal(word) for word in (b"one", b"two")]
    assert b"one" not in sent[0]
    assert [receiver.open(one) for one in sent] == [(b"one", 0), (b"two", 0)]


def test_how_many_were_lost_is_noticed(pair):
    sender, receiver = pair
    sent = [sender.seal(b"word") for _ in range(4)]
    assert receiver.open(sent[3]) == (b"word", 3)


@pytest.mark.parametrize("change", ["altered", "repeated", "renumbered", "short", "of another key"])
def test_what_the_sender_did_not_send_now_is_refused(pair, change):
    sender, receiver = pair
    sent = sender.seal(b"word")
    given = {
        "altered": sent[:-1] + bytes([sent[-1] ^ 1]),
        "repeated": sent,
        "renumbered": b"\0" * 7 + b"\7" + sent[8:],
        "short": sent[:5],
        "of another key": Sender(new_key()).seal(b"word"),
    }[change]
    if change == "repeated":
        receiver.open(sent)
    with pytest.raises(CannotDecrypt):
        receiver.open(given)

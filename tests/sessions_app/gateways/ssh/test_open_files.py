"""What approvers see of an upload, and how many transfers run at a time."""

import pytest

from broker.kernel.spooled import Spooled
from sessions_app.gateways.ssh.open_files import text_of
from sessions_app.gateways.ssh.slots import Slots, TooManyTransfers


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        ("a\t\u00e9\r\nb\n".encode(), "a\t\u00e9\r\nb\n"),
        (b"\xff\xfe", None),
        (b"a\x1b[2J", None),
        (b"a\rb", None),
        ("a\u202eb".encode(), None),
        (b"a" * 65_536, "a" * 65_536),
        (b"a" * 65_537, None),
    ],
)
def test_a_small_text_without_invisible_characters_can_be_shown(tmp_path, data, text):
    waiting = Spooled(tmp_path)
    waiting.write(data)
    assert text_of(waiting) == text
    waiting.close()


def test_a_grant_takes_its_places_and_no_others():
    slots = Slots(of_one=2, of_all=3)
    first, _ = slots.take(1), slots.take(1)
    with pytest.raises(TooManyTransfers):
        slots.take(1)
    slots.take(2)
    first()
    first()
    with slots.taken(1), pytest.raises(TooManyTransfers):
        slots.take(2)

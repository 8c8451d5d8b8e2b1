"""What the record has of signing in and out."""

import pytest

from accounts.operations.note_sign_in import note_failed_sign_in, note_sign_in, note_sign_out
from tests.support.world.acts import last


def test_a_sign_in_and_a_sign_out_are_their_identitys(world):
    note_sign_in(identity=world.alice, address="192.0.2.1", now=world.now)
    note_sign_out(identity=world.alice, now=world.now)
    entry = last("identity.signed_in", "alice")
    assert (entry.actor, entry.actor_id, entry.data) == ("alice", world.alice.pk, {"from": "192.0.2.1"})
    assert last("identity.signed_out", "alice").actor == "alice"


@pytest.mark.parametrize(
    ("name", "about", "kept"),
    [
        ("Alice ", "alice", "Alice "),
        ("nobody", "nobody", "nobody"),
        ("a\0b", "a\\x00b", "a\\x00b"),
        ("\ud800", "\\ud800", "\\ud800"),
        ("x" * 1000, "x" * 255, "x" * 100),
        ("\ufdfa" * 100, None, "\ufdfa" * 100),
        ("", "?", ""),
        (" ", "?", " "),
    ],
)
def test_a_failure_has_the_name_as_typed_cut_and_in_its_one_spelling(world, name, about, kept):
    note_failed_sign_in(name=name, address="192.0.2.1", reason="wrong", now=world.now)
    entry = last("identity.sign_in_failed")
    assert entry.actor == "system:sign-in"
    assert entry.data == {"name": kept, "from": "192.0.2.1", "reason": "wrong"}
    assert entry.object_ref == about or (about is None and len(entry.object_ref) == 255)

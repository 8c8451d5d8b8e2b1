"""Taking public keys back."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accounts.operations.add_ssh_key import add_ssh_key
from accounts.operations.remove_ssh_key import remove_ssh_key
from accounts.queries import identity_by_fingerprint
from broker.kernel.errors import NotFound
from tests.support.world.acts import last
from tests.support.world.world import HOST_KEY


@pytest.fixture
def key(world):
    public = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert public.decode() != HOST_KEY
    return add_ssh_key(
        identity_id=world.alice.pk,
        public_key=public.decode(),
        label="laptop",
        actor=world.alice,
        now=world.now,
    )


def test_a_removed_key_opens_nothing(world, key):
    removed = remove_ssh_key(key_id=key.pk, actor=world.alice, now=world.now)
    assert removed.removed_at == world.now
    assert identity_by_fingerprint(key.fingerprint) is None
    assert last("identity.key_removed", "alice").data == {"fingerprint": key.fingerprint}


def test_an_administrator_removes_anybodys_key(world, key):
    remove_ssh_key(key_id=key.pk, actor=world.admin, now=world.now)
    assert last("identity.key_removed", "alice").actor == "admin"


def test_a_strangers_key_is_answered_like_one_that_is_not_there(world, key):
    answers = []
    for actor, pk in ((world.bob, key.pk), (world.robot, key.pk), (world.bob, 0)):
        with pytest.raises(NotFound) as refusal:
            remove_ssh_key(key_id=pk, actor=actor, now=world.now)
        answers.append(str(refusal.value))
    assert len(set(answers)) == 1
    assert identity_by_fingerprint(key.fingerprint)


@pytest.mark.parametrize("who", ["alice", "owner"])
def test_the_key_of_a_disabled_holder_opens_nothing(world, key, who):
    if who == "owner":
        type(key).objects.filter(pk=key.pk).update(identity=world.robot)
    world.alice.is_active = False
    world.alice.save()
    assert identity_by_fingerprint(key.fingerprint) is None

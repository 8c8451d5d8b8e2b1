"""Registering public keys."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import transaction

from accounts.locks import IdentityDisabled
from accounts.models import SSHPublicKey
from accounts.operations.add_ssh_key import KeyTaken, add_ssh_key
from accounts.operations.remove_ssh_key import remove_ssh_key
from accounts.queries import identity_by_fingerprint
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from sessions_app.operations.identities.disable_identity import disable_identity
from tests.support.world.acts import Started, last, wait_for_waiters


def line(key) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@pytest.fixture(scope="module")
def ed25519_line() -> str:
    return line(ed25519.Ed25519PrivateKey.generate())


def add(world, text: str, who=None, actor=None) -> SSHPublicKey:
    who = who or world.alice
    return add_ssh_key(identity_id=who.pk, public_key=text, label="laptop", actor=actor or who, now=world.now)


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def hardware_line() -> str:
    raw = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    name = b"sk-ssh-ed25519@openssh.com"
    return f"{name.decode()} {base64.b64encode(string(name) + string(raw) + string(b'ssh:')).decode()}"


def test_a_key_names_its_holder_and_the_record_has_its_fingerprint(world, ed25519_line):
    key = add(world, ed25519_line + " alice@laptop\n")
    assert key.fingerprint.startswith("SHA256:")
    assert identity_by_fingerprint(key.fingerprint).username == "alice"
    assert last("identity.key_added", "alice").data == {
        "fingerprint": key.fingerprint,
        "algorithm": "ssh-ed25519",
    }


def test_security_keys_and_long_rsa_keys_are_accepted(world):
    assert add(world, hardware_line()).algorithm == "sk-ssh-ed25519@openssh.com"
    assert add(world, line(rsa.generate_private_key(65537, 3072))).algorithm == "ssh-rsa"


def test_a_short_rsa_key_is_refused(world):
    with pytest.raises(InvalidInput, match="too short"):
        add(world, line(rsa.generate_private_key(65537, 2048)))


def test_a_private_key_is_refused_and_called_what_it_is(world):
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    with pytest.raises(InvalidInput, match="private key") as refusal:
        add(world, pem)
    assert pem.splitlines()[1] not in str(refusal.value)


NO_KEYS = [
    "",
    " ",
    "ssh-ed25519",
    "ssh-ed25519 !!!!",
    "ssh-ed25519 AAAA",
    'command="id" {line}',
    "{line}\n{other}",
    "ssh-rsa {blob}",
    "ssh-ed25519 {cut}",
    "ssh-ed25519 {blob}AAAA",
    'from="*",{line}',
    "\0{line}",
]


def test_anything_else_than_one_plain_key_is_refused(world, ed25519_line):
    for text in NO_KEYS:
        blob = ed25519_line.split()[1]
        other = line(ed25519.Ed25519PrivateKey.generate())
        with pytest.raises(InvalidInput):
            add(world, text.format(line=ed25519_line, other=other, blob=blob, cut=blob[:-8]))
        assert not SSHPublicKey.objects.exists()


def test_one_key_belongs_to_one_identity_also_after_it_was_removed(world, ed25519_line):
    key = add(world, ed25519_line)
    with pytest.raises(KeyTaken):
        add(world, ed25519_line, world.bob)
    remove_ssh_key(key_id=key.pk, actor=world.alice, now=world.now)
    with pytest.raises(KeyTaken):
        add(world, ed25519_line + " another comment", world.bob)


def test_nobody_gives_another_person_a_key_so_that_they_could_act_as_them(world, ed25519_line):
    for actor in (world.bob, world.charlie, world.admin, world.robot):
        with pytest.raises(Forbidden):
            add(world, ed25519_line, world.alice, actor)
    with pytest.raises(NotFound):
        add_ssh_key(identity_id=0, public_key=ed25519_line, label="", actor=world.admin, now=world.now)
    assert not SSHPublicKey.objects.exists()


def test_only_the_owner_gives_a_machine_its_keys(world, ed25519_line):
    with pytest.raises(Forbidden):
        add(world, ed25519_line, world.robot, world.bob)
    assert add(world, ed25519_line, world.robot, world.alice).identity == world.robot
    with pytest.raises(Forbidden):
        add(world, hardware_line(), world.robot, world.admin)


def test_one_that_is_being_added_while_its_holder_is_disabled_is_not_there_once_they_are_enabled(
    live_world, owner_connection, ed25519_line
):
    world = live_world
    with transaction.atomic():
        disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
        added = Started(lambda: add(world, ed25519_line))
        wait_for_waiters(owner_connection, 1)
    assert isinstance(added.result(), IdentityDisabled), added.result()
    assert not SSHPublicKey.objects.exists()

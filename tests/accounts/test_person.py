"""`manage.py person`: the first people, machines, keys and tokens of an installation, without a page."""

import io

import asyncssh
import pytest
from django.core.management import CommandError, call_command

from accounts.models import APIToken, Identity, SSHPublicKey
from broker.kernel.crypto import token_digest
from tests.support.world.acts import last
from tests.support.world.world import PASSWORD


def person(*words: str) -> list[str]:
    out = io.StringIO()
    call_command("person", *words, stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.pub"
    asyncssh.generate_private_key("ssh-ed25519").write_public_key(path)
    return str(path)


def test_a_person_comes_with_groups_password_key_and_token(db, monkeypatch, key):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    said = person(
        "Dana",
        "--full-name",
        "Dana Ito",
        "--email",
        "dana@example.com",
        "--group",
        "operators",
        "--group",
        "on-call",
        "--password-stdin",
        "--key",
        key,
        "--token",
        "laptop",
        "--scope",
        "read",
        "--scope",
        "request",
    )
    dana = Identity.objects.get(username="dana")
    assert (dana.name, dana.email, dana.is_superuser, dana.kind) == (
        "Dana Ito",
        "dana@example.com",
        False,
        "person",
    )
    assert set(dana.groups.values_list("name", flat=True)) == {"operators", "on-call"}
    assert dana.check_password(PASSWORD)
    registered, token = SSHPublicKey.objects.get(identity=dana), APIToken.objects.get(identity=dana)
    assert said[:2] == ["dana is a new person.", f"dana can use the key {registered.fingerprint}."]
    assert token.digest == token_digest(said[-1])
    assert (token.label, token.scopes) == ("laptop", ["read", "request"])


def test_each_act_is_recorded_as_done_from_a_shell(db, key):
    person("dana", "--admin", "--email", "dana@example.com", "--key", key, "--token", "laptop")
    for event in ("identity.created", "identity.key_added", "identity.token_created"):
        assert last(event, "dana").actor == "system:person"
    assert last("identity.created", "dana").data["administrator"] is True


def test_a_key_and_a_token_are_added_to_somebody_who_is_there(world, key):
    person("alice", "--key", key)
    assert token_digest(person("alice", "--token", "ci", "--days", "7")[-1]) == APIToken.objects.get().digest
    assert SSHPublicKey.objects.get().identity == world.alice


REFUSED = [
    (["alice"], "To add a key or a token, pass --key or --token"),
    (["alice", "--admin", "--token", "x"], "--admin applies only to new accounts"),
    (["no spaces"], "isn't a valid username"),
    (["robot-2", "--kind", "agent"], "needs --owner"),
    (["robot-2", "--owner", "alice"], "a person can't have one"),
    (["robot-2", "--kind", "agent", "--owner", "nobody"], "User nobody not found"),
    (["robot-2", "--kind", "service", "--owner", "alice", "--admin"], "can't have --admin"),
    (["alice", "--token", "x", "--days", "91"], "at most 90 days"),
    (["robot-2", "--kind", "agent", "--owner", "alice", "--token", "x", "--days", "91"], "at most 90 days"),
    (["alice", "--key", "/nowhere.pub"], "No such file"),
    (["alice", "--key", "/etc/passwd"], "not a public key"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_makes_no_sense_is_refused_with_a_reason(world, words, said):
    people = Identity.objects.count()
    with pytest.raises(CommandError, match=said):
        person(*words)
    assert (Identity.objects.count(), APIToken.objects.count(), SSHPublicKey.objects.count()) == (
        people,
        0,
        0,
    )

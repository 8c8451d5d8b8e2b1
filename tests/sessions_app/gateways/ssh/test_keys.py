"""Removing a key ends the sessions that it opened, and a late database leaves none open."""

from accounts.models import SSHPublicKey
from accounts.operations.remove_ssh_key import remove_ssh_key
from broker.kernel import clock
from sessions_app.models import Session
from tests.support.pace import allow
from tests.support.servers.gateway import on_target
from tests.support.waits import eventually
from tests.support.world.acts import locked


def revoke_key(place) -> None:
    """Remove alice's key; when she next needs one, she creates another."""
    alice = place.world.alice
    for key in SSHPublicKey.objects.filter(identity=alice, removed_at__isnull=True):
        remove_ssh_key(key_id=key.pk, actor=alice, now=clock.now())
    for path in (place.key("alice"), place.key("alice").with_suffix(".pub")):
        path.unlink()


def test_a_removed_key_cuts_what_runs(place):
    place.grant()
    with place.running("nohup") as (client, tag):
        revoke_key(place)
        eventually(lambda: not on_target(tag), within=3)
        assert client.wait(allow(3)) == 255
        assert b"your SSH key was removed" in client.stderr.read()


def test_a_session_that_the_database_opens_too_late_is_closed(place):
    grant = place.grant()
    with locked(grant, allow(20)):
        refused = place.ssh("true", timeout=allow(20))
        assert b"did not respond" in refused.stderr
    eventually(lambda: Session.objects.filter(grant=grant).exists(), within=5)
    eventually(lambda: not Session.objects.filter(grant=grant, closed_at__isnull=True).exists(), within=5)

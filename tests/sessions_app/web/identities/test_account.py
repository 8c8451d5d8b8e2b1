"""One's own account, and everybody's for administrators."""

import re

from accounts.models import APIToken, Identity, SSHPublicKey
from broker.kernel.crypto import token_digest
from tests.sessions_app.web.test_access import PUBLIC_KEY
from tests.support.world import acts
from tests.support.world.reading import answered, read
from tests.support.world.world import PASSWORD


def test_a_key_is_added_and_removed(world, as_alice):
    as_alice.post("/account/keys/", {"public_key": PUBLIC_KEY, "label": "Laptop"})
    key = SSHPublicKey.objects.get()
    assert (key.identity, key.label) == (world.alice, "Laptop")
    assert key.fingerprint in read(as_alice, "/account/")
    said = as_alice.post(f"/account/keys/{key.pk}/remove/", follow=True).content.decode()
    assert f"{key.fingerprint} has been revoked" in said
    assert key.fingerprint not in read(as_alice, "/account/")
    key.refresh_from_db()
    assert key.removed_at is not None


def test_nobody_removes_anothers_key_or_token(world, as_alice, as_bob):
    as_alice.post("/account/keys/", {"public_key": PUBLIC_KEY})
    as_alice.post("/account/tokens/", {"label": "ci", "scope": ["read"], "days": "7"})
    assert as_bob.post(f"/account/keys/{SSHPublicKey.objects.get().pk}/remove/").status_code == 404
    assert as_bob.post(f"/account/tokens/{APIToken.objects.get().pk}/revoke/").status_code == 404
    assert APIToken.objects.get().revoked_at is None


def test_a_token_is_shown_this_once(world, as_alice):
    page = as_alice.post(
        "/account/tokens/", {"label": "ci", "scope": ["read", "request"], "days": "7"}
    ).content.decode()
    text = re.search(r"stint_[\w-]{43}", page)[0]
    token = APIToken.objects.get()
    assert token.digest == token_digest(text)
    assert (token.identity, token.scopes) == (world.alice, ["read", "request"])
    later = read(as_alice, "/account/")
    assert text not in later
    assert token.hint in later
    as_alice.post(f"/account/tokens/{token.pk}/revoke/")
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_an_owner_gives_a_key_to_a_machine_and_to_nobody_elses(world, as_alice):
    as_alice.post("/account/keys/", {"public_key": PUBLIC_KEY, "identity": world.robot.pk})
    assert SSHPublicKey.objects.get().identity == world.robot
    assert (
        as_alice.post(
            "/account/tokens/", {"label": "x", "scope": ["read"], "days": "1", "identity": world.bob.pk}
        ).status_code
        == 404
    )


def test_the_time_zone_is_ones_own_choice(world, as_alice):
    as_alice.post("/account/time-zone/", {"time_zone": "Asia/Tokyo"})
    world.alice.refresh_from_db()
    assert world.alice.time_zone == "Asia/Tokyo"
    assert "JST" in read(as_alice, "/")
    assert "is not a time zone" in answered(
        as_alice.post("/account/time-zone/", {"time_zone": "Mars/Base"}), 400
    )
    assert acts.last("identity.changed", "alice").data == {
        "time_zone": {"before": "UTC", "now": "Asia/Tokyo"}
    }


NEW = "another horse, another battery"


def change(client, current: str = PASSWORD, new: str = NEW, again: str = NEW):
    return client.post("/account/password/", {"current": current, "new": new, "again": again})


def test_a_new_password_keeps_this_browser_and_ends_the_other_sessions(world, browser):
    here, there, bobs = browser("alice"), browser("alice"), browser("bob")
    assert change(here)["Location"] == "/account/"
    assert "Password changed" in read(here, "/account/")
    assert there.get("/account/").status_code == 302
    assert bobs.get("/account/").status_code == 200
    world.alice.refresh_from_db()
    assert world.alice.check_password(NEW)
    assert acts.last("identity.password_changed", "alice").actor == "alice"


def test_an_administrator_disables_and_enables(world, browser):
    grant = world.grant()
    admin = browser("admin")
    admin.post(f"/people/{world.alice.pk}/switch/")
    grant.refresh_from_db()
    assert grant.end_reason == "identity_disabled"
    assert not Identity.objects.get(pk=world.alice.pk).is_active
    admin.post(f"/people/{world.alice.pk}/switch/", {"enable": "1"})
    assert Identity.objects.get(pk=world.alice.pk).is_active


def test_the_scope_administer_is_offered_to_administrators_only(as_alice, as_admin):
    assert 'value="administer"' not in read(as_alice, "/account/")
    assert 'value="administer"' in read(as_admin, "/account/")

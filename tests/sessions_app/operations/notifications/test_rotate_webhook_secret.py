"""A new signing secret."""

import datetime as dt

import pytest

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.operations.notifications.rotate_webhook_secret import rotate_webhook_secret
from tests.support.servers.receiver import SECRET, endpoint, send_all, webhook_file
from tests.support.world.acts import after, last


def sent(world, hook, now):
    """The next message that comes."""
    world.request(reason=f"At {now}", now=world.now)
    send_all(now)
    return hook.came[-1]


def test_both_sign_for_a_day_and_then_the_new_one_alone(world, hook):
    world.apply(webhook_file(hook))
    new = rotate_webhook_secret(endpoint_id=endpoint().pk, actor=world.admin, now=world.now)
    assert new.startswith("whsec_")
    meanwhile = sent(world, hook, after(world, hours=23))
    assert meanwhile.is_signed_by(new)
    assert meanwhile.is_signed_by(SECRET)
    later = sent(world, hook, after(world, hours=25))
    assert later.is_signed_by(new)
    assert not later.is_signed_by(SECRET)


def test_a_leaked_one_is_out_of_use_at_once(world, hook):
    world.apply(webhook_file(hook))
    new = rotate_webhook_secret(
        endpoint_id=endpoint().pk, actor=world.admin, now=world.now, overlap=dt.timedelta()
    )
    came = sent(world, hook, world.now)
    assert came.is_signed_by(new)
    assert not came.is_signed_by(SECRET)


def test_it_is_recorded_without_the_secret_and_kept_sealed(world):
    world.apply(webhook_file(None))
    new = rotate_webhook_secret(endpoint_id=endpoint().pk, actor=world.admin, now=world.now)
    assert new not in last("webhook.rotated", "chat").body
    assert new.encode() not in bytes(endpoint().sealed_secret)


def test_both_for_ever_is_refused_and_so_are_others(world):
    world.apply(webhook_file(None))
    with pytest.raises(InvalidInput):
        rotate_webhook_secret(
            endpoint_id=endpoint().pk, actor=world.admin, now=world.now, overlap=dt.timedelta(days=8)
        )
    with pytest.raises(NotFound):
        rotate_webhook_secret(endpoint_id=endpoint().pk, actor=world.charlie, now=world.now)


def test_the_file_s_secret_that_changed_replaces_the_stored_one_and_none_keeps_it(world, hook):
    world.apply(webhook_file(hook))
    world.apply(webhook_file(hook, secret=None))
    assert sent(world, hook, world.now).is_signed_by(SECRET)
    other = "whsec_" + "QUJD" * 10
    (change,) = world.apply(webhook_file(hook, secret=other)).changes
    assert other not in "".join(change.diff)
    assert sent(world, hook, after(world, minutes=1)).is_signed_by(other)

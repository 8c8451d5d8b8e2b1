"""How often a password or a code may be guessed."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.attempts import Secret, TooManyTries, count_attempt, note_usual_address
from accounts.models import AttemptCount
from tests.support.world.acts import after

HERE, THERE = "192.0.2.7", "198.51.100.9"


def guess(at: dt.datetime, address: str = HERE, account: str = "alice", secret: Secret = Secret.PASSWORD):
    return count_attempt(secret, account=account, address=address, now=at)


def refused(*args, **kwargs) -> int:
    """In how many seconds one may try again; 0: one may now."""
    try:
        guess(*args, **kwargs).was_right()
    except TooManyTries as error:
        return error.wait
    return 0


def from_many_addresses(count: int, at: dt.datetime, secret: Secret = Secret.PASSWORD) -> None:
    for number in range(count):
        guess(at, f"203.0.113.{number}", secret=secret)


def test_after_five_wrong_ones_the_next_has_to_wait_a_minute_and_then_each_does(world):
    for _ in range(5):
        guess(world.now)
    with pytest.raises(TooManyTries, match=r"Too many wrong passwords\. Try again in 1 minute\."):
        guess(world.now)
    assert refused(after(world, seconds=20)) == 40
    guess(after(world, seconds=60))
    assert refused(after(world, seconds=61)) == 59


def test_a_stranger_delays_nobody_who_comes_from_elsewhere(world):
    for _ in range(5):
        guess(world.now, THERE)
    assert refused(world.now, THERE)
    assert not refused(world.now, HERE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
    ],
)
def test_addresses_of_one_network_of_a_host_are_one(world, one, other, same):
    for _ in range(5):
        guess(world.now, one)
    assert bool(refused(world.now, other)) == same


def test_one_address_tries_few_accounts(world):
    for number in range(10):
        guess(world.now, account=f"nobody-{number}")
    assert refused(world.now, account="bob") == 6
    assert not refused(world.now, THERE, "bob")


@pytest.mark.parametrize(("secret", "many", "wait"), [(Secret.PASSWORD, 100, 30), (Secret.CODE, 10, 300)])
def test_a_guesser_with_many_addresses_is_slowed_down_and_the_owner_is_not_where_they_usually_are(
    world, secret, many, wait
):
    note_usual_address(world.alice, HERE, world.now)
    from_many_addresses(many, world.now, secret)
    assert refused(world.now, THERE, secret=secret) == wait
    assert not refused(world.now, HERE, secret=secret)
    assert not refused(world.now, THERE, "bob", secret)


def test_an_address_is_usual_for_90_days(world):
    note_usual_address(world.alice, HERE, after(world, days=-91))
    from_many_addresses(100, world.now)
    assert refused(world.now)
    note_usual_address(world.alice, HERE, world.now)
    assert not refused(world.now)


def test_what_is_refused_counts_nowhere(world):
    for _ in range(200):
        refused(world.now, THERE) or guess(world.now, THERE)
    assert not refused(world.now, HERE)
    assert not refused(world.now, THERE, "bob")


def test_a_right_one_is_not_counted_and_buys_no_more_wrong_ones(world):
    for _ in range(4):
        guess(world.now)
    for _ in range(8):
        guess(world.now).was_right()
    guess(world.now)
    assert refused(world.now)


def test_guesses_at_once_are_no_more_than_one_after_the_other(live_world):
    def one(_: int) -> bool:
        try:
            return not refused_and_kept(live_world.now)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(24))) == 5


def refused_and_kept(at: dt.datetime) -> bool:
    try:
        guess(at)
    except TooManyTries:
        return True
    return False


def test_only_digests_are_kept(world):
    guess(world.now, account="a password in the wrong field")
    assert all(len(subject) == 64 for subject in AttemptCount.objects.values_list("subject", flat=True))


def test_a_name_that_reads_like_an_address_delays_nobody_else(world):
    for _ in range(5):
        guess(world.now, THERE, f"alice', '{HERE}")
    assert not refused(world.now, HERE)

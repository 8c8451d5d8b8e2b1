"""Proving oneself by a code."""

import pytest
from allauth.mfa.models import Authenticator

from accounts.factors import factors_of
from broker.kernel.errors import Forbidden, NotFound
from sessions_app.models import Notice
from sessions_app.operations.identities.prove_code import WrongCode, prove_code
from tests.support.world.acts import at_once, events, last
from tests.support.world.factors import SECRET, STEP, code_of, give_app, wrong_code


def prove(world, code: str, *, at=None, who=None) -> Authenticator:
    return prove_code(
        identity_id=(who or world.alice).pk, code=code, address="192.0.2.7", now=at or world.now
    )


def test_the_code_of_the_app_is_taken_and_when_is_noted(world):
    give_app(world.alice, world.now)
    used = prove(world, code_of(SECRET, world.now))
    assert used.type == "totp"
    assert factors_of(world.alice).app.last_used_at == world.now


@pytest.mark.parametrize("typed", ["{0}{1}{2} {3}{4}{5}", " {0}{1}{2}-{3}{4}{5} "])
def test_spaces_and_dashes_make_no_difference(world, typed):
    give_app(world.alice, world.now)
    assert prove(world, typed.format(*code_of(SECRET, world.now)))


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_that_is_a_little_off_is_forgiven_and_no_more(world, steps, taken):
    give_app(world.alice, world.now)
    code = code_of(SECRET, world.now + steps * STEP)
    if taken:
        assert prove(world, code)
    else:
        with pytest.raises(WrongCode):
            prove(world, code)


def test_a_code_counts_once_and_takes_those_before_it_with_it(world):
    give_app(world.alice, world.now)
    assert prove(world, code_of(SECRET, world.now))
    for at in (world.now, world.now + STEP):
        for steps in (-1, 0):
            with pytest.raises(WrongCode):
                prove(world, code_of(SECRET, world.now + steps * STEP), at=at)
    assert prove(world, code_of(SECRET, world.now + STEP), at=world.now + STEP)


def test_of_two_who_type_one_code_at_the_same_time_one_gets_in(live_world):
    """The second waits for the first, and then finds it used."""
    give_app(live_world.alice, live_world.now)
    code = code_of(SECRET, live_world.now)
    results = at_once(*[lambda: prove(live_world, code)] * 2)
    assert sorted(type(result).__name__ for result in results) == ["Authenticator", "WrongCode"]


def test_a_recovery_code_counts_once_is_recorded_and_told(world):
    codes = give_app(world.alice, world.now)
    assert prove(world, codes[3]).type == "recovery_codes"
    assert last("identity.recovery_used", "alice").data == {"left": 9}
    assert "9 left" in Notice.objects.get(event="identity.recovery_used").body
    assert factors_of(world.alice).codes_left == 9
    with pytest.raises(WrongCode):
        prove(world, codes[3])
    assert prove(world, codes[4])


def test_a_wrong_code_is_recorded_as_a_failed_sign_in_and_never_with_the_code(world):
    give_app(world.alice, world.now)
    code = wrong_code(SECRET, world.now)
    with pytest.raises(WrongCode, match="incorrect or was already used"):
        prove(world, code)
    entry = last("identity.sign_in_failed", "alice")
    assert entry.data == {"name": "alice", "from": "192.0.2.7", "reason": "the code is wrong"}
    assert code not in entry.body


def test_codes_of_others_and_of_nobody_open_nothing(world):
    give_app(world.bob, world.now)
    for code in (code_of(SECRET, world.now), "", "0" * 500, "é", "\0"):
        with pytest.raises(WrongCode):
            prove(world, code)
    with pytest.raises(Forbidden):
        prove(world, "123456", who=world.robot)
    with pytest.raises(NotFound):
        prove_code(identity_id=0, code="123456", address="", now=world.now)


def test_when_the_record_refuses_a_recovery_code_stays_good(live_world, owner_connection):
    codes = give_app(live_world.alice, live_world.now)
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_at_commit FROM stint_app")
    with pytest.raises(Exception, match="permission denied"):
        prove(live_world, codes[0])
    owner_connection.execute("GRANT EXECUTE ON FUNCTION audit_append_at_commit TO stint_app")
    assert prove(live_world, codes[0])
    assert events("alice").count("identity.recovery_used") == 1

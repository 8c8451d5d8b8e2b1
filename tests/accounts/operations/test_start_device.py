"""A program asks to act as somebody."""

import datetime as dt

import pytest

from accounts.clients import ScopeNotOffered, UnknownClient
from accounts.codes import ALPHABET, typed_code
from accounts.models import APIToken, DeviceAuthorization
from accounts.operations.start_device import start_device
from tests.support.world.acts import events


def start(world, now=None, **changes):
    asked = {"client_id": "stint-cli", "scopes": [], "address": "192.0.2.7", **changes}
    return start_device(now=now or world.now, **asked)


def test_it_gets_two_codes_of_which_only_digests_are_kept_and_nothing_else(world):
    before = events()
    codes = start(world)
    stored = " ".join(str(value) for value in DeviceAuthorization.objects.values().get().values())
    assert codes.device_code not in stored
    assert codes.user_code not in stored
    assert codes.user_code not in repr(codes)
    assert codes.device_code not in repr(codes)
    assert not APIToken.objects.exists()
    assert events() == before


def test_a_code_that_people_type_has_no_vowels_and_forgives_case_spaces_and_dashes(world):
    code = start(world).user_code
    assert len(code) == 9
    assert set(code) <= {*ALPHABET, "-"}
    for typed in (code.lower(), code.replace("-", ""), f" {code[:2]} {code[2:]} ", code.replace("-", "--")):
        assert typed_code(typed) == code


@pytest.mark.parametrize(
    "typed", ["", "BCDF", "BCDF-GHJA", "BCDF-GHJKL", "bcdf-ghj1", "ＢCDFGHJK" * 9, "\0" * 8]
)
def test_what_can_be_no_code_is_none(typed):
    assert typed_code(typed) == ""


def test_a_program_gets_no_scope_that_opens_further_entry_points(world):
    assert start(world).row.scopes == ["decide", "end", "read", "request"]
    assert start(world, scopes=["read"]).row.scopes == ["read"]
    for scopes in (["administer"], ["read", "administer"], ["root"], ["READ"]):
        with pytest.raises(ScopeNotOffered):
            start(world, scopes=scopes)


@pytest.mark.parametrize("client", ["", "stint", "STINT-CLI", "stint-cli "])
def test_a_program_that_is_not_known_gets_nothing(world, client):
    with pytest.raises(UnknownClient):
        start(world, client_id=client)
    assert not DeviceAuthorization.objects.exists()


def test_codes_that_are_long_over_are_taken_away(world):
    start(world)
    start(world, now=world.now + dt.timedelta(hours=2))
    assert DeviceAuthorization.objects.count() == 1

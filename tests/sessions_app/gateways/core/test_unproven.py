"""Unauthenticated connections are limited, and a few addresses can't take all of them."""

from sessions_app.gateways.core.unproven import Unproven


def test_all_addresses_of_one_ipv6_network_count_as_one():
    unproven = Unproven(100, per_address=40)
    came = [unproven.arrive(f"2001:db8:0:1::{number:x}") for number in range(41)]
    assert came == [""] * 40 + ["too many connections from that address"]
    assert unproven.arrive("2001:db8:0:2::1") == ""


def test_an_ipv4_address_is_the_same_however_it_is_written():
    unproven = Unproven(100, per_address=1)
    assert unproven.arrive("::ffff:192.0.2.1") == ""
    assert unproven.arrive("192.0.2.1") == "too many connections from that address"


def test_a_quarter_is_kept_for_addresses_that_have_none():
    unproven = Unproven(100, per_address=40)
    came = [unproven.arrive(f"192.0.2.{number % 3}") for number in range(76)]
    assert came == [""] * 75 + ["too many"]
    assert {unproven.arrive(f"198.51.100.{number}") for number in range(25)} == {""}
    assert unproven.arrive("203.0.113.1") == "too many"


def test_a_place_that_is_left_can_be_had_again():
    unproven = Unproven(1, per_address=1)
    assert unproven.arrive("192.0.2.1") == ""
    assert unproven.arrive("192.0.2.2") == "too many"
    unproven.depart("192.0.2.1")
    assert unproven.arrive("192.0.2.2") == ""

"""A secret in a target's text is found in any encoding, and nothing else is mistaken for it."""

import json
import re
import tracemalloc
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.gateways.core.spellings import REMOVED, without

SECRET = 'k"ey/1 +ü&z='


def each(text: str, spell: str) -> str:
    """Return a text with each byte written by its number."""
    return "".join(spell.format(byte) for byte in text.encode())


def lowered(text: str) -> str:
    """Return a percent-encoded text with its digits in lower case."""
    return re.sub("%..", lambda found: found[0].lower(), text)


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        lowered(quote(SECRET, safe="")),
        quote_plus(SECRET),
        lowered(quote_plus(SECRET)),
        each(SECRET, "%{:02x}"),
        each(SECRET, "%{:02X}"),
        quote(quote(SECRET)),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1].replace("/", "\\/"),
        json.dumps(SECRET)
        .upper()
        .replace("\\U", "\\u")
        .replace('K\\"EY', 'k\\"ey')
        .replace("Z=", "z=")[1:-1],
        "".join(f"\\u{ord(char):04x}" for char in SECRET),
        quote(json.dumps(SECRET))[3:-3],
        json.dumps(quote(SECRET, safe=""))[1:-1],
    ],
)
def test_a_secret_is_removed_in_every_spelling(spelled):
    for before, after in (("", ""), ("https://a/?key=", "&b=1"), ("100%", "%zz?"), ("%", "x")):
        assert without(f"{before}{spelled}{after}{spelled}", [SECRET]) == f"{before}{REMOVED}{after}{REMOVED}"


@pytest.mark.parametrize("before", ["", "a:", "Bearer ", "Bearer a"])
@pytest.mark.parametrize("spell", [b64encode, urlsafe_b64encode, bytes.hex])
def test_a_secret_that_was_written_among_other_bytes_is_removed(spell, before):
    spelled = spell(f"{before}{SECRET}, and more".encode())
    said = without(f"you sent {spelled if isinstance(spelled, str) else spelled.decode()}", [SECRET])
    assert REMOVED in said
    assert len(said) < len(f"you sent {REMOVED}") + 2 * len(f"{before}, and more") + 4


def test_base64_is_removed_in_both_alphabets_and_without_its_padding():
    pair = urlsafe_b64encode(b"ada:~~~~???>>>>").decode()
    assert "-" in pair
    assert "_" in pair
    plain = pair.replace("-", "+").replace("_", "/")
    for spelled in (plain, pair, plain.rstrip("="), quote(plain, safe=""), lowered(quote(plain, safe=""))):
        assert without(f"a {spelled}.", [plain]).rstrip("=.") == f"a {REMOVED}"


@pytest.mark.parametrize(
    "value", ["", "key", "100% of it", "%6", "%%%", "\\u12", "a\\", "%%41%", "\udcff\udcfe", "é%C3%A9"]
)
def test_a_text_without_a_secret_stays_as_it_is(value):
    assert without(value, [SECRET]) == value
    assert without(value, []) == value


@pytest.mark.parametrize("secret", ["50%41off", "C:\\new\\u0041", "%2525%25", "==ab==c=="])
def test_a_secret_that_looks_encoded_is_found_as_it_is(secret):
    for spelled in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
        assert without(f"a {spelled}, b", [secret]) == f"a {REMOVED}, b"


@given(st.text('ab%41\\u"+/-_ é\udcff', max_size=60), st.text('abA"+/- é', min_size=6, max_size=8))
def test_nothing_of_a_secret_is_left_and_the_rest_stays(value, secret):
    for spell in (str, quote, quote_plus):
        assert secret not in without(f"{value}{spell(secret)}{value}", [secret])


@pytest.mark.parametrize("text", ["%25" * 10_600, "\\u0025" * 5_300])
def test_the_largest_header_without_a_secret_is_not_taken_apart(text):
    tracemalloc.start()
    try:
        assert without(text, [SECRET]) == text
        # The origins of its characters would take a hundred times as much memory as the text.
        assert tracemalloc.get_traced_memory()[1] < 30 * len(text)
    finally:
        tracemalloc.stop()

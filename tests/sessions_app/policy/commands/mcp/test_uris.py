"""Templates match only the URIs that they describe, in one spelling."""

import unicodedata
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import covers, parse_text
from sessions_app.policy.commands.mcp.compiling import CompiledSet, compile_set
from sessions_app.policy.commands.mcp.decide import decide_call
from sessions_app.policy.commands.mcp.document import MCPCommandSet
from sessions_app.policy.commands.mcp.uris import URIRefused, split_uri
from sessions_app.policy.documents import DocumentError
from tests.support.breadth import examples


def of(*templates: str, value: str = "T-1", where: str = "", **more: bool) -> CompiledSet:
    marks = "".join(f", {key}: {str(given).lower()}" for key, given in more.items())
    rules = "".join(f'  - {{resource: "{one}"{where}{marks}}}\n' for one in templates)
    text = (
        "name: x\nkind: mcp\nsummary: x\nrisk: low\n"
        "parameters: {t: {pattern: '[A-Za-z0-9 /._-]{1,20}'}}\ncommands:\n"
    )
    document = parse_text(text + rules)
    assert isinstance(document, MCPCommandSet)
    return compile_set(document, {"t": value})


def reads(compiled: CompiledSet, uri: str) -> bool:
    return isinstance(decide_call(compiled, "resource:read", {"uri": uri}), Allowed)


@pytest.mark.parametrize(
    "uri",
    [
        *("ticket://T-1/a", "ticket://T-1/a%20b", "ticket://T-1/%C3%A9", "ticket://T-1/a.b"),
        *("ticket://T-1/...", "ticket://T-1/a@b:c", "ticket://T-1/-"),
    ],
)
def test_a_place_matches_one_whole_segment(uri):
    assert reads(of("ticket://{t}/*"), uri)


@pytest.mark.parametrize(
    "uri",
    [
        *("ticket://T-1", "ticket://T-1/", "ticket://T-1//a", "ticket://T-1/a/b", "ticket://T-1/a/"),
        *("ticket://T-2/a", "ticket://t-1/a", "TICKET://T-1/a", "ticket:/T-1/a", "ticket:///T-1/a"),
        *("ticket://T-1@T-2/a", "ticket://x:y@T-1/a", "ticket://T-1:80/a", "ticket://T-1./a"),
        *("ticket://T-1/..", "ticket://T-1/.", "ticket://T-1/%2e%2e", "ticket://T-1/%2E%2E"),
        *("ticket://T-1/..;x", "ticket://T-1/a%2Fb", "ticket://T-1/a%2fb", "ticket://T-1/a%5Cb"),
        *("ticket://T-1/a\\b", "ticket://T-1/%252e%252e", "ticket://T-1/a?b", "ticket://T-1/a#b"),
        *("ticket://T-1/a%3Fb", "ticket://T-1/a b", "ticket://T-1/\u00e9", "ticket://T-1/%61"),
        *("ticket://T-1/%c3%a9", "ticket://T-1/%C3", "ticket://T-1/%00", "ticket://T-1/a%0Ab"),
        *("ticket://T-1/%", "ticket://T-1/%zz", "ticket://T-1/%E2%80%AE", "ticket://T-1/%E2%80%A5"),
        *("ticket://T-1/*", "ticket://T-1/{t}", "ticket://%54-1/a", " ticket://T-1/a", ""),
        "ticket://T-1/a\n",
        "ticket://T-1/" + "a" * 2100,
        "mail://T-1/a",
    ],
)
def test_a_hostile_uri_is_refused(uri):
    assert not reads(of("ticket://{t}/*"), uri)


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "https://Docs.shop/a",
            "https://docs.shop:443/a",
            "https://docs.shop:0443/a",
            "HTTPS://docs.shop/a",
        ),
        *(
            "https://docs.shop./a",
            "https://docs.shop:/a",
            "https://docs.shop/%61",
            "https://docs.shop/e%CC%81",
        ),
    ],
)
def test_another_spelling_of_a_host_or_a_character_is_refused(uri):
    assert reads(of("https://docs.shop/*"), "https://docs.shop/a")
    assert not reads(of("https://docs.shop/*"), uri)


@pytest.mark.parametrize("template", ["https://Docs.shop/{t}", "https://docs.shop:443/{t}", "ws://a:80/{t}"])
def test_a_template_has_its_host_in_canonical_spelling(template):
    with pytest.raises(DocumentError, match="lowercase, without the default port"):
        of(template)


SCHEMES = st.sampled_from(["https", "ws", "ticket", "file"])
SEGMENTS = st.text("aBé~-.é:%;", min_size=1, max_size=4).map(lambda text: quote(text, safe="~-.:;"))
URIS = st.builds(
    lambda scheme, host, path: f"{scheme}://{host}/{'/'.join(path)}",
    SCHEMES,
    st.sampled_from(["docs", "docs:443", "docs:80", "docs:8080"]),
    st.lists(SEGMENTS, min_size=1, max_size=2),
)


@st.composite
def respelled(draw, uri):
    """Return a URI that RFC 3986 and RFC 3987 count as the same, perhaps spelled in another way."""
    scheme, _, rest = uri.partition("://")
    host, *segments = rest.split("/")
    name, _, port = host.partition(":")
    if scheme in ("https", "ws"):
        name = draw(st.sampled_from([name, name.upper()]))
        default = {"https": "443", "ws": "80"}[scheme]
        port = draw(st.sampled_from(["", default])) if port in ("", default) else port
    scheme = draw(st.sampled_from([scheme, scheme.upper()]))
    form = draw(st.sampled_from(["NFC", "NFD"]))
    segments = [
        "".join(draw(_characters(one)) for one in unicodedata.normalize(form, unquote(segment)))
        for segment in segments
    ]
    return f"{scheme}://{name}{':' if port else ''}{port}/{'/'.join(segments)}"


def _characters(character):
    """Return the spellings of a character: as it is if that is possible, and encoded in both letter cases."""
    encoded = "".join(f"%{byte:02X}" for byte in character.encode())
    plain = [character] if character.isascii() and character != "%" else []
    return st.sampled_from([*plain, encoded, encoded.lower()])


@given(data=st.data(), uri=URIS)
@settings(max_examples=examples(300))
def test_of_all_spellings_of_a_uri_at_most_one_is_read(data, uri):
    spellings = {data.draw(respelled(uri)) for _ in range(4)}
    assert len([one for one in {uri, *spellings} if is_canonical(one)]) <= 1


def is_canonical(uri):
    try:
        split_uri(uri)
    except URIRefused:
        return False
    return True


def test_a_value_is_one_segment_in_its_encoded_form():
    assert reads(of("docs://team/{t}", value="a b"), "docs://team/a%20b")
    assert not reads(of("docs://team/{t}", value="a/b"), "docs://team/a/b")
    assert not reads(of("docs://team/{t}", value=".."), "docs://team/..")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("*://a/b", "scheme"),
        ("{t}://a/b", "scheme"),
        ("ticket:a", "literal scheme"),
        ("ticket://*/b", "authority"),
        ("https://{t}/b", "host"),
        ("docs://a/{t}.txt", "whole segment"),
        ("docs://a/b*", "whole segment"),
        ("docs://a/../b", "differently"),
        ("docs://a/b?c", "canonical"),
        ("docs://a//b", "URI"),
        ("docs://a/{u}", "not declared"),
    ],
)
def test_a_template_has_a_literal_scheme_and_whole_places(template, says):
    with pytest.raises(DocumentError) as caught:
        of(template)
    assert says in str(caught.value)


def test_the_authority_is_never_chosen_at_a_call():
    with pytest.raises(DocumentError, match="authority"):
        of("ticket://{who}/a", "docs://a/{t}", where=", where: {who: {name: 9}}")


@pytest.mark.parametrize(
    ("parent", "child", "within"),
    [
        (of("docs://a/*"), of("docs://a/b"), True),
        (of("docs://a/{t}", value="b"), of("docs://a/b"), True),
        (of("docs://a/b"), of("docs://a/*"), False),
        (of("docs://a/*"), of("docs://a/*/*"), False),
        (of("docs://a/*"), of("docs://b/c"), False),
        (of("docs://a/*", untrusted=True), of("docs://a/b"), False),
        (of("docs://a/*", untrusted=True), of("docs://a/b", untrusted=True), True),
        (of("docs://a/*", hold=True), of("docs://a/b"), False),
        (of("docs://a/*", hold=True), of("docs://a/*", hold=True), True),
    ],
)
def test_narrower_templates_are_covered_and_marks_stay(parent, child, within):
    assert (covers(parent, child) is None) == within


PLACES = st.sampled_from(["a", "b", "*", "{t}"])
TEMPLATES = st.lists(PLACES, min_size=1, max_size=2).map(lambda found: "docs://x/" + "/".join(found))


@given(
    parent=st.lists(TEMPLATES, min_size=1, max_size=2),
    child=st.lists(TEMPLATES, min_size=1, max_size=2),
    values=st.tuples(st.sampled_from("ab"), st.sampled_from("ab")),
    marks=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    uri=st.lists(st.sampled_from("abc"), min_size=1, max_size=2).map(
        lambda found: "docs://x/" + "/".join(found)
    ),
)
@settings(max_examples=examples(200))
def test_what_is_delegated_never_reads_more_or_more_freely(parent, child, values, marks, uri):
    ours = of(*parent, value=values[0], hold=marks[0], untrusted=marks[1])
    theirs = of(*child, value=values[1], hold=marks[2], untrusted=marks[3])
    found = decide_call(theirs, "resource:read", {"uri": uri})
    if covers(ours, theirs) is None and isinstance(found, Allowed):
        allowed = decide_call(ours, "resource:read", {"uri": uri})
        assert isinstance(allowed, Allowed)
        assert (found.hold, found.untrusted) >= (allowed.hold, allowed.untrusted)
        assert found.untrusted >= allowed.untrusted


def test_an_untrusted_template_marks_what_another_one_matches_too():
    text = (
        "name: x\nkind: mcp\nsummary: x\nrisk: low\ncommands:\n"
        '  - {resource: "docs://a/*", untrusted: true}\n  - {resource: "docs://a/b", hold: true}\n'
    )
    found = decide_call(compile_set(parse_text(text), {}), "resource:read", {"uri": "docs://a/b"})
    assert isinstance(found, Allowed)
    assert (found.hold, found.untrusted) == (True, True)


def test_arguments_of_prompts_are_text():
    text = (
        "name: x\nkind: mcp\nsummary: x\nrisk: low\nparameters: {n: {int: [1, 9]}}\ncommands:\n"
        '  - {prompt: p, arguments: {a: "{n}", b: {int: [1, 3]}}}\n'
    )
    compiled = compile_set(parse_text(text), {"n": "5"})
    assert isinstance(decide_call(compiled, "prompt:p", {"a": "5", "b": "2"}), Allowed)
    assert not isinstance(decide_call(compiled, "prompt:p", {"a": "5", "b": 2}), Allowed)
    assert not isinstance(decide_call(compiled, "prompt:p", {"a": "6", "b": "2"}), Allowed)
    assert not isinstance(decide_call(compiled, "p", {"a": "5", "b": "2"}), Allowed)

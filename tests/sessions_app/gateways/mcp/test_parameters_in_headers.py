"""Headers that repeat arguments of a call, so that proxies can route it without parsing its body."""

import base64
from typing import Any

import pytest

from sessions_app.gateways.mcp.asked import Asked, Rejected, check_parameters, headers_of

SCHEMA = {
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        "sure": {"type": "boolean", "x-mcp-header": "Sure"},
    }
}


def check(arguments: dict[str, Any], headers: dict[str, str], *, modern: bool = True) -> None:
    params = {"name": "t", "arguments": arguments}
    check_parameters(Asked(method="tools/call", params=params, id=1, modern=modern, headers=headers), SCHEMA)


HELLO = f"=?base64?{base64.b64encode('hellö'.encode()).decode()}?="


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, {}),
        ({"region": None}, {}),
        ({"region": "eu", "other": "x"}, {"mcp-param-region": "eu", "mcp-param-unknown": "x"}),
        ({"region": "hellö"}, {"mcp-param-region": HELLO}),
        ({"deep": {"n": 42}}, {"mcp-param-n": "42"}),
        ({"deep": {"n": 42}}, {"mcp-param-n": "42.0"}),
        ({"deep": {"n": 42.0}}, {"mcp-param-n": "42"}),
        ({"sure": True}, {"mcp-param-sure": "true"}),
    ],
)
def test_a_header_that_repeats_its_argument_passes(arguments, headers):
    check(arguments, headers)


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "eu"}, {"mcp-param-region": "us"}),
        ({"region": "eu"}, {"mcp-param-region": "=?base64?ZXU?="}),
        ({"region": "hellö"}, {"mcp-param-region": "hellö"}),
        ({}, {"mcp-param-region": "eu"}),
        ({"region": None}, {"mcp-param-region": "eu"}),
        ({"region": "42"}, {"mcp-param-region": "42.0"}),
        ({"deep": {"n": 42}}, {"mcp-param-n": "42.5"}),
        ({"deep": "n"}, {"mcp-param-n": "n"}),
        ({"sure": True}, {"mcp-param-sure": "True"}),
    ],
)
@pytest.mark.parametrize("modern", [True, False])
def test_a_header_that_differs_from_its_argument_is_rejected(arguments, headers, modern):
    with pytest.raises(Rejected) as error:
        check(arguments, headers, modern=modern)
    assert (error.value.status, error.value.code, error.value.number) == (400, -32020, 1)


def test_only_the_newer_version_requires_the_header():
    check({"region": "eu"}, {}, modern=False)
    with pytest.raises(Rejected, match="missing"):
        check({"region": "eu"}, {})


def test_a_repeated_header_is_rejected():
    twice = [(b"mcp-param-region", b"eu"), (b"Mcp-Param-Region", b"us")]
    with pytest.raises(Rejected, match="repeated"):
        headers_of({"headers": twice})

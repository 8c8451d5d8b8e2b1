"""What the administrator of a proxy pastes into its configuration."""

import io

import pytest
from django.core.management import CommandError, call_command

from sessions_app.connectors.http.parameters import HTTPParameters
from tests.sessions_app.operations.targets.test_target_setup import KEY, cluster


def printed(*words: str, **options: str) -> str:
    out = io.StringIO()
    call_command("http_target_setup", *words, stdout=out, **options)
    return out.getvalue()


def test_it_prints_the_lines_of_the_cluster_s_proxy_with_its_key(world):
    cluster(world, "http")
    text = printed("one", upstream="http://127.0.0.1:8123")
    assert (KEY in text, "http://127.0.0.1:8123" in text or "127.0.0.1:8123" in text) == (True, True)
    assert "forward_auth" in text


@pytest.mark.parametrize(
    ("proxy", "word"), [("nginx", "auth_request"), ("traefik", "forwardAuth"), ("envoy", "ext_authz")]
)
def test_it_prints_those_of_another_proxy(world, proxy, word):
    cluster(world, "http")
    assert word in printed("one", proxy=proxy)


def test_a_fresh_key_is_good():
    key = printed("--new-key").strip()
    assert HTTPParameters(proxy="nginx", proxy_key=key).proxy_key.get_secret_value() == key
    assert key != printed("--new-key").strip()


def test_a_cluster_that_is_not_there_or_of_another_kind_is_said_to(world):
    for name in ("nothing", "web"):
        with pytest.raises(CommandError, match="HTTP cluster"):
            printed(name)
    with pytest.raises(CommandError, match="--new-key"):
        printed()


def test_behind_the_gateway_there_is_no_proxy_to_set_up(world):
    cluster(world, "http", connection="{proxy: stint}")
    with pytest.raises(CommandError, match="no proxy to set up"):
        printed("one")

"""The credential that the gateway adds, and the tokens that it fetches for it."""

import asyncio
import base64
import gzip
import json

import pytest

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.http.parameters import HTTPParameters
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.http.credentials import LONGEST_S, Credentials
from sessions_app.gateways.http.upstream import MOST_TOKEN, Upstream, trusting
from sessions_app.policy.scope import TargetFacts
from tests.support.servers.http_target import http_target


@pytest.fixture
def issuer(tmp_path):
    """An application with TLS that issues tokens."""
    with http_target(tmp_path / "tls") as target:
        yield target


def place(issuer, inject) -> TargetSpec:
    target = TargetFacts(
        id=1, name="prices-1", address="127.0.0.1", port=issuer.port, account="", host_key=""
    )
    return TargetSpec(
        cluster="prices",
        target=target,
        parameters=HTTPParameters.model_validate({"proxy": "stint", "ca": issuer.ca, "inject": inject}),
    )


def oauth(issuer) -> TargetSpec:
    how = {
        "token_url": f"https://127.0.0.1:{issuer.port}/token",
        "client_id": "st:nt",
        "client_secret": "s e",
        "scope": "a",
    }
    return place(issuer, {"oauth": how})


def run(conversation):
    async def whole():
        upstream = Upstream()
        try:
            return await conversation(Credentials(upstream))
        finally:
            await upstream.close()

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("inject", "headers", "query", "secrets"),
    [
        (
            {"header": "Authorization", "value": "Bearer secret-1"},
            {"authorization": "Bearer secret-1"},
            "",
            {"Bearer secret-1", "secret-1"},
        ),
        ({"header": "X-Api-Key", "value": "secret-1"}, {"x-api-key": "secret-1"}, "", {"secret-1"}),
        ({"query": "key", "value": "secret&1"}, {}, "key=secret%261", {"secret&1"}),
        (
            {"basic": {"user": "ada", "password": "secret-1"}},
            {"authorization": "Basic " + base64.b64encode(b"ada:secret-1").decode()},
            "",
            {"secret-1", base64.b64encode(b"ada:secret-1").decode()},
        ),
        (None, {}, "", set()),
    ],
)
def test_a_stored_credential_is_added_as_the_connection_says(issuer, inject, headers, query, secrets):
    added = run(lambda credentials: credentials.of(place(issuer, inject)))
    assert (dict(added.headers), added.query, set(added.secrets)) == (headers, query, secrets)
    assert "secret" not in repr(added)


def test_a_token_is_fetched_once_with_the_clients_secret_and_used_until_it_is_refused(issuer):
    async def conversation(credentials):
        both = await asyncio.gather(*(credentials.of(oauth(issuer)) for _ in range(5)))
        assert {added.headers["authorization"] for added in both} == {"Bearer oauth-token-0001"}
        assert issuer.tokens == 1
        assert credentials.refused(oauth(issuer), both[0])
        assert credentials.refused(oauth(issuer), both[1])
        newer = await credentials.of(oauth(issuer))
        assert newer.headers["authorization"] == "Bearer oauth-token-0002"
        # The target refuses this token too, so the token is not the cause.
        assert not credentials.refused(oauth(issuer), newer)
        assert await credentials.of(oauth(issuer)) == newer

    run(conversation)
    came = issuer.requests[0]
    assert came.body == b"grant_type=client_credentials&scope=a"
    assert came.header("authorization") == "Basic " + base64.b64encode(b"st%3Ant:s+e").decode()


def test_a_token_is_fetched_again_half_a_minute_before_its_end(issuer):
    issuer.said["/token"] = {
        "json": {"access_token": "short-token", "token_type": "bearer", "expires_in": 30}
    }

    async def conversation(credentials):
        await credentials.of(oauth(issuer))
        await credentials.of(oauth(issuer))

    run(conversation)
    assert issuer.tokens == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "invalid_client"},
        {"access_token": "t\r\nx", "token_type": "bearer"},
        ["t"],
        {"access_token": "t", "token_type": "mac"},
    ],
)
def test_what_is_no_bearer_token_is_not_sent(issuer, answer):
    issuer.said["/token"] = {"json": answer}
    with pytest.raises(NotReached, match="can't be fetched") as refused:
        run(lambda credentials: credentials.of(oauth(issuer)))
    assert not refused.value.sent


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"text": "[" * 10_000}, "not JSON"),
        ({"text": "secret-answer"}, "not JSON"),
        ({"text": json.dumps({"access_token": "secret-answer", "filler": "x" * MOST_TOKEN})}, "larger than"),
        ({"body": gzip.compress(bytes(10**7)), "headers": {"Content-Encoding": "gzip"}}, "is encoded"),
        ({"text": "secret-answer", "status": 400}, "returned status 400"),
        ({"text": '{"access_token": "", "token_type": "bearer"}'}, "no bearer token"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_an_issuer_answers_instead_is_bounded_and_not_repeated(issuer, answer, says):
    issuer.said["/token"] = {"whole": answer}
    with pytest.raises(NotReached, match=says) as refused:
        run(lambda credentials: credentials.of(oauth(issuer)))
    assert "secret-answer" not in str(refused.value)
    assert issuer.requests[0].header("accept-encoding") == "identity"


def test_an_issuer_that_sends_a_byte_now_and_then_is_not_waited_for(issuer):
    issuer.said["/token"] = {"drip": 0.2}

    async def whole():
        upstream = Upstream()
        try:
            with pytest.raises(NotReached, match="did not respond in time"):
                await upstream.fetch(
                    f"https://127.0.0.1:{issuer.port}/token",
                    trusting(issuer.ca),
                    data={},
                    headers={},
                    seconds=1,
                )
        finally:
            await upstream.close()

    asyncio.run(whole())


@pytest.mark.parametrize("lasts", ["1e400", "1" + "0" * 400, "-1", "NaN", '"soon"', "true", "null"])
def test_a_token_of_an_unlikely_length_of_time_is_used_and_not_kept_for_ever(issuer, lasts):
    said = f'{{"access_token": "odd-token", "token_type": "bearer", "expires_in": {lasts}}}'
    issuer.said["/token"] = {"whole": {"text": said}}

    async def conversation(credentials):
        assert (await credentials.of(oauth(issuer))).headers["authorization"] == "Bearer odd-token"
        return [
            token.good_until - asyncio.get_running_loop().time() for token in credentials._tokens.values()
        ]

    assert max(run(conversation)) <= LONGEST_S

"""What can be proven at a proxy: that its entry point is shut, because Stint said so."""

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from sessions_app.connectors.base import ConnectorError, LeaseSpec
from sessions_app.connectors.http.parameters import HTTPParameters
from sessions_app.connectors.http.snippets import PROXIES, snippet
from tests.sessions_app.connectors.http.conftest import KEY, certificate, place_at
from tests.support.servers.nginx import nginx


def lease(place):
    return LeaseSpec(grant_ref="GR-TEST", mark="0" * 32, place=place)


def steps(connector, place):
    return {step.name: step for step in connector.check(place)}


def test_a_entry_point_that_is_shut_is_the_proof(connector, proxy):
    found = connector.verify(lease(place_at(proxy.port)))
    assert found.gone
    assert found.detail["statuses"] == {"without_token": 401, "with_unknown_token": 401}
    assert found.detail["asked_at"] < found.detail["answered_at"]
    assert KEY not in json.dumps(found.detail)


@pytest.mark.processes
def test_a_entry_point_that_is_open_is_not_gone(connector, site):
    with nginx(f"location / {{ proxy_pass {site.upstream}; }}") as open_entry_point:
        found = connector.revoke(lease(place_at(open_entry_point.port)))
        assert not found.gone
        assert found.detail["access"] == "open without a token"
        looked = steps(connector, place_at(open_entry_point.port))
        assert not looked["refuses requests without a token"].ok
        assert "http_target_setup tickets" in looked["refuses requests without a token"].fix


@pytest.mark.processes
def test_a_proxy_that_refuses_by_itself_does_not_ask_stint(connector):
    with nginx("location / { return 403; }") as own:
        assert not steps(connector, place_at(own.port))["consults Stint"].ok


@pytest.mark.processes
def test_a_proxy_with_another_key_is_told(connector, site):
    with nginx(snippet("nginx", replace(site, proxy_key="another" * 6))) as other:
        found = steps(connector, place_at(other.port))["consults Stint"]
        assert not found.ok
        assert "different proxy key" in found.detail


@pytest.mark.processes
def test_when_stint_does_not_answer_the_entry_point_is_shut_but_not_proven(connector, site):
    with nginx(snippet("nginx", replace(site, stint="http://127.0.0.1:1"))) as alone:
        found = connector.verify(lease(place_at(alone.port)))
        # nginx says 500: nobody came through, and nobody can say that it was refused.
        assert not found.gone
        assert found.detail["access"] == "neither open nor refused by Stint"
        assert not steps(connector, place_at(alone.port))["refuses requests without a token"].ok


@pytest.mark.processes
def test_a_proxy_is_known_by_its_certificate(connector, tmp_path):
    made, key = certificate("api.example.com")
    (tmp_path / "c.pem").write_text(made)
    (tmp_path / "k.pem").write_text(key)
    tls = (
        f"ssl_certificate {tmp_path}/c.pem; ssl_certificate_key {tmp_path}/k.pem; location / {{ return"
        " 401; }"
    )
    with nginx(tls, tls=True) as proxy:
        assert connector.verify(lease(place_at(proxy.port, tls=True, ca=made))).gone
        with pytest.raises(ConnectorError, match="failed TLS verification"):
            connector.verify(lease(place_at(proxy.port, tls=True)))
        with pytest.raises(ConnectorError, match="failed TLS verification"):
            connector.verify(lease(place_at(proxy.port, tls=True, ca=made, host="other.example.com")))
        with pytest.raises(ConnectorError, match="PEM") as caught:
            connector.verify(lease(place_at(proxy.port, tls=True, ca="nonsense")))
        assert caught.value.permanent


def test_what_does_not_speak_http_is_an_error(connector, hung):
    import socket
    import threading

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def greet():
            client, _ = other.accept()
            client.sendall(b"220 mail.example.com\r\n")
            client.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ConnectorError, match="api"):
            connector.verify(lease(place_at(other.getsockname()[1])))
        thread.join()


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 31, "with space" * 5, 'quote"' * 10, "line\n" * 10, "é" * 40, "$x;{}" * 10]
)
def test_a_weak_or_odd_proxy_key_is_refused(key):
    with pytest.raises(ValidationError):
        HTTPParameters(proxy="nginx", proxy_key=key)


def test_the_key_is_shown_nowhere(connector):
    place = place_at(1)
    assert KEY not in repr(place.parameters)
    assert KEY not in repr(place)


@pytest.mark.parametrize("proxy", PROXIES)
def test_there_is_a_snippet_for_each_proxy(site, proxy):
    text = snippet(proxy, site)
    for said in (site.stint, site.proxy_key, "api"):
        assert said in text
    assert "Authorization" in text or "authorization" in text
    assert site.proxy_key not in repr(site)


def test_there_is_no_snippet_for_another(site):
    with pytest.raises(ValueError, match="apache"):
        snippet("apache", site)


def test_snippets_that_are_yaml_can_be_read(site):
    import yaml

    traefik = yaml.safe_load(snippet("traefik", site))
    assert traefik["http"]["middlewares"]["api-stint"]["forwardAuth"]["trustForwardHeader"] is False
    envoy = yaml.safe_load(snippet("envoy", site))
    ask = envoy["http_filters"][1]["typed_config"]
    assert ask["failure_mode_allow"] is False


def test_proxies_that_pass_underscores_on_drop_every_spelling(site):
    for proxy in ("caddy", "traefik"):
        text = snippet(proxy, site)
        for name in (
            "X-HTTP-Method-Override",
            "X_HTTP_Method_Override",
            "X-HTTP_Method-Override",
            "X_Original_URL",
            "X_Forwarded_For",
        ):
            assert name in text
    for name in ("X_Forwarded_Uri", "X-Forwarded_Uri", "X_Forwarded-Method"):
        assert f"header_up -{name}\n" in snippet("caddy", site)
    asks, _, passes = snippet("caddy", site).partition("reverse_proxy")
    assert "header_up -X-Forwarded-Uri\n" not in asks
    assert "header_up -X-Forwarded-For\n" not in passes


CHANGING = [
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Original-Method",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Path",
    "X-Rewrite-URL",
    "X-Rewrite-URI",
    "X-Override-URL",
    "X-Forwarded-Method",
    "X-Forwarded-Uri",
    "X-Forwarded-Prefix",
    "X-Forwarded-Host",
    "Forwarded",
]


@pytest.mark.parametrize("name", CHANGING)
def test_no_proxy_passes_on_a_header_that_would_change_the_request(site, name):
    assert f'proxy_set_header {name} "";' in snippet("nginx", site)
    assert f"header_up -{name}\n" in snippet("caddy", site)
    assert f'          {name}: ""\n' in snippet("traefik", site)
    assert f"- remove: {name.lower()}\n" in snippet("envoy", site)


def test_who_asks_is_said_by_the_proxy_and_never_by_a_client(site):
    import yaml

    assert "proxy_set_header X-Forwarded-For $remote_addr;" in snippet("nginx", site)
    take = yaml.safe_load(snippet("envoy", site))["http_filters"][2]["typed_config"]["mutations"]
    written = {
        one["append"]["header"]["key"]: one["append"]["append_action"]
        for one in take["request_mutations"]
        if "append" in one
    }
    assert written == dict.fromkeys(("x-forwarded-for", "x-forwarded-proto"), "OVERWRITE_IF_EXISTS_OR_ADD")
    for proxy in ("traefik", "caddy"):
        assert 'X-Forwarded-For: ""' not in snippet(proxy, site)


def test_who_the_holder_is_is_said_by_stint_alone_whatever_spelling_a_client_sends(site):
    assert "header_up -Stint_Holder\n" in snippet("caddy", site)
    assert "header_up -Stint-Holder\n" not in snippet("caddy", site)
    assert 'Stint_Grant: ""' in snippet("traefik", site)
    assert "- remove: stint-holder\n" in snippet("envoy", site)
    assert "headers_with_underscores_action: REJECT_REQUEST" in snippet("envoy", site)


def test_a_client_does_not_make_caddy_drop_what_stint_says(site):
    assert snippet("caddy", site).index("request_header -Connection") < snippet("caddy", site).index(
        "forward_auth"
    )


def test_caddy_is_one_that_keeps_no_client_s_copy_of_what_stint_sets(site):
    assert "2.11.2 or newer" in snippet("caddy", site)


def test_the_application_is_asked_by_its_own_name_and_the_client_s_address_is_told(site):
    import yaml

    traefik = yaml.safe_load(snippet("traefik", site))["http"]
    taken = traefik["middlewares"]["api-take"]["headers"]["customRequestHeaders"]
    assert taken["Host"] == site.host
    assert traefik["services"]["api"]["loadBalancer"]["passHostHeader"] is True
    say, ask, take, _ = yaml.safe_load(snippet("envoy", site))["http_filters"]
    (client,) = (
        one["append"]["header"]
        for one in say["typed_config"]["mutations"]["request_mutations"]
        if one.get("append", {}).get("header", {}).get("key") == "stintclient"
    )
    assert client["value"] == "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    assert {"exact": "stintclient"} in ask["typed_config"]["allowed_headers"]["patterns"]
    assert {"remove": "stintclient"} in take["typed_config"]["mutations"]["request_mutations"]

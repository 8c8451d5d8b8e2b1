"""A target behind Stint's own gateway: what is said of it is true without its credential."""

import json

import pytest

from sessions_app.connectors.base import ConnectorError, LeaseSpec
from sessions_app.connectors.http.connector import origin_of
from tests.sessions_app.connectors.http.conftest import place_at

INJECT = {"header": "Authorization", "value": "Bearer hunter2"}


def own(port: int, **parameters):
    known = {"proxy": "stint", "proxy_key": None, "inject": INJECT, "host": ""}
    return place_at(port, **{**known, **parameters})


def test_the_end_says_that_access_was_through_the_gateway_alone(connector):
    lease = LeaseSpec(grant_ref="GR-TEST", mark="0" * 32, place=own(1))
    for found in (connector.verify(lease), connector.revoke(lease)):
        assert found.gone
        assert (found.detail["access"], found.detail["made"], found.detail["not_cut"]) == ("gateway", 0, [])
        assert "hunter2" not in json.dumps(found.detail)


def test_the_check_connects_and_says_what_it_found(connector, proxy):
    (step,) = connector.check(own(proxy.port))
    assert (step.ok, "accepts TCP connections" in step.detail) == (True, True)
    (step,) = connector.check(own(1))
    assert (step.ok, "did not respond" in step.detail) == (False, True)
    assert "Start the target" in step.fix


def test_the_check_speaks_tls_where_the_cluster_does(connector, proxy):
    (step,) = connector.check(own(proxy.port, tls=True))
    assert (step.ok, "TLS" in step.detail) == (False, True)


def test_a_target_that_is_gone_is_noticed_when_it_is_observed(connector, proxy):
    assert connector.observe(own(proxy.port)) == []
    with pytest.raises(ConnectorError):
        connector.observe(own(1))


def test_the_address_of_a_target_behind_our_own_gateway_is_given_to_nobody():
    with pytest.raises(ConnectorError):
        origin_of(own(1))

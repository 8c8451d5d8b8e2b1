"""/ssh-gateway"""

from __future__ import annotations

import datetime as dt

from sessions_app.operations.sessions.renew_gateway import renew_gateway

ONE, TWO = "ssh-ed25519 AAAAone", "ssh-ed25519 AAAAtwo"


def test_holders_are_told_where_the_gateway_is_and_by_which_keys_it_is_known(api, world, settings):
    settings.SSH_PUBLIC_HOST, settings.SSH_GATEWAY_PORT = "gateway.example.com", 2200
    for name, key in (("b", TWO), ("a", ONE), ("c", ONE), ("http", "")):
        renew_gateway(name=name, version="1", host_key=key, now=world.now)
    answer = api("charlie").get("/ssh-gateway")
    assert answer.body == {"host": "gateway.example.com", "port": 2200, "host_keys": [ONE, TWO]}


def test_a_gateway_that_is_gone_for_a_day_is_forgotten(api, world):
    renew_gateway(name="a", version="1", host_key=ONE, now=world.now - dt.timedelta(days=2))
    assert api("alice").get("/ssh-gateway").body["host_keys"] == []


def test_strangers_are_told_nothing(api):
    assert api().get("/ssh-gateway").status_code == 401

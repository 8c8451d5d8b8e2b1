"""/ssh-gateway and /web-gateway"""

from broker.kernel.x509 import fingerprint
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.prepare_authority import prepare_authority
from sessions_app.operations.targets.retire_authority import retire_authority
from sessions_app.operations.targets.rotate_authority import rotate_authority
from sessions_app.queries.gateways.keys import GATEWAY_CA, SSH_HOST_KEY, public_line, trusted_authorities
from tests.support.world.world import SETUP


def test_holders_are_told_where_the_gateway_is_and_by_which_keys_it_is_known_now_or_next(
    api, world, settings
):
    settings.SSH_PUBLIC_HOST, settings.SSH_GATEWAY_PORT = "gateway.example.com", 2200
    place = {"host": "gateway.example.com", "port": 2200}
    assert api("charlie").get("/ssh-gateway").body == {**place, "host_keys": []}
    ensure_authority(SSH_HOST_KEY, now=world.now)
    prepare_authority(SSH_HOST_KEY, actor=SETUP, now=world.now)
    keys = [public_line(key) for key in trusted_authorities(SSH_HOST_KEY)]
    assert api("charlie").get("/ssh-gateway").body == {**place, "host_keys": keys}
    assert len(keys) == 2


def test_clients_of_the_web_gateways_are_told_whom_to_trust(api, world, settings):
    settings.GATEWAY_PUBLIC_URL = "https://gateway.example.com"
    made = ensure_authority(GATEWAY_CA, now=world.now)
    assert api("charlie").get("/web-gateway").body == {
        "url": "https://gateway.example.com",
        "ca": "",
        "fingerprints": [],
    }
    digest = fingerprint(made.public_key.encode())
    renew_gateway(name="a", version="1", tls_fingerprint=digest, now=world.now)
    answer = api("charlie").get("/web-gateway")
    assert (answer.body["ca"], answer.body["fingerprints"]) == (made.public_key, [digest])
    assert "PRIVATE" not in answer.content.decode()
    assert api().get("/web-gateway").status_code == 401


def test_during_a_rotation_clients_are_told_to_trust_both_authorities(api, world):
    def told(by):
        renew_gateway(
            name="a", version="1", tls_fingerprint=fingerprint(by.public_key.encode()), now=world.now
        )
        body = api("charlie").get("/web-gateway").body
        return body["ca"], set(body["fingerprints"])

    old = ensure_authority(GATEWAY_CA, now=world.now)
    fresh = prepare_authority(GATEWAY_CA, actor=SETUP, now=world.now)
    both = (old.public_key + fresh.public_key, {fingerprint(one.public_key.encode()) for one in (old, fresh)})
    assert told(by=old) == both
    rotate_authority(GATEWAY_CA, actor=SETUP, now=world.now)
    assert told(by=old) == told(by=fresh) == both
    retire_authority(GATEWAY_CA, fingerprint=old.fingerprint, actor=SETUP, now=world.now)
    assert told(by=fresh) == (fresh.public_key, {fingerprint(fresh.public_key.encode())})

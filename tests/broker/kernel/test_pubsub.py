"""The queue's server as redis-py reaches it."""

import pytest

from broker.databases import queue
from broker.kernel.pubsub import pubsub_client, redis_url


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("redis://:pw@queue:6379/3", "redis://:pw@queue:6379/3"),
        ("redis+socket://:pw@/run/valkey.sock?virtual_host=2", "unix://:pw@/run/valkey.sock?db=2"),
        (
            "rediss://queue/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca.pem",
            "rediss://queue/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem",
        ),
    ],
)
def test_an_address_of_the_queue_is_written_as_its_client_reads_it(given, read):
    assert redis_url(given) == read


def test_behind_sentinels_the_current_master_is_used_with_its_own_login(settings):
    url, options = queue("sentinel://stint:pw@one:26379,two:26380/mymaster/4?sentinel_password=sp")
    settings.CELERY_BROKER_URL = url
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {
        "socket_connect_timeout": 1,
        "socket_timeout": 2,
        **options,
    }
    pool = pubsub_client().connection_pool
    assert pool.service_name == "mymaster"
    kept = pool.connection_kwargs
    assert (kept["username"], kept["password"], kept["db"]) == ("stint", "pw", 4)
    sentinels = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"], one["password"]) for one in sentinels] == [
        ("one", 26379, "sp"),
        ("two", 26380, "sp"),
    ]

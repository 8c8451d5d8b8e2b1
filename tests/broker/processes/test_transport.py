"""The worker's connection to the queue."""

from types import SimpleNamespace

from broker.processes.transport import Channel, SentinelChannel, _Frugal


class Made:
    """Stands for kombu's channel, which makes a client for each command."""

    pool = "first"

    def _create_client(self, asynchronous=False):
        return SimpleNamespace(connection_pool=self.pool)


class FrugalChannel(_Frugal, Made):
    """A channel under test."""


def test_a_channel_makes_one_client_for_each_pool():
    channel = FrugalChannel()
    first = channel._create_client()
    assert channel._create_client() is first
    assert channel._create_client(asynchronous=True) is not first
    channel.pool = "second"
    assert channel._create_client().connection_pool == "second"


def test_each_channel_of_the_worker_does_so():
    assert issubclass(Channel, _Frugal)
    assert issubclass(SentinelChannel, _Frugal)

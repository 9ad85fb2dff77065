from __future__ import annotations

import pytest
from kombu import Connection
from kombu.transport import redis as plain

from fluxora_tasks.transport.connection import DurableConnection, transport_for
from fluxora_tasks.transport.redis import SentinelTransport, Transport

REDIS = [
    "redis://localhost",
    "rediss://localhost:6380/1?ssl_cert_reqs=none",
    "redis+socket:///run/store.sock?virtual_host=1",
    "redis://one;redis://two",
]


@pytest.mark.parametrize("url", REDIS)
def test_an_address_of_redis_gets_the_durable_transport(url: str) -> None:
    """Every way of writing it."""
    connection = DurableConnection(url)
    assert connection.get_transport_cls() is Transport
    assert connection.transport.driver_type == "redis"
    assert connection.clone().get_transport_cls() is Transport
    assert transport_for(url) == "fluxora_tasks.transport.redis:Transport"


def test_sentinels_get_theirs() -> None:
    """Its channel is both durable and led by the sentinels."""
    url = "sentinel://one:26379;sentinel://two:26379"
    connection = DurableConnection(url, transport_options={"master_name": "main"})
    assert connection.get_transport_cls() is SentinelTransport
    assert issubclass(SentinelTransport.Channel, (Transport.Channel, plain.SentinelChannel))
    assert SentinelTransport.default_port == 26379
    assert transport_for(url) == "fluxora_tasks.transport.redis:SentinelTransport"


def test_the_transport_stays_after_a_failover() -> None:
    """kombu reads the scheme of the next address again."""
    connection = DurableConnection("redis://one;redis://two")
    connection.maybe_switch_next()
    assert connection.hostname == "two"
    assert connection.get_transport_cls() is Transport


def test_tls_stays_tls() -> None:
    """The scheme that asks for it is not replaced by a transport's name."""
    connection = DurableConnection("rediss://localhost:6380/0?ssl_cert_reqs=required")
    assert connection.ssl


@pytest.mark.parametrize("url", ["amqp://localhost", "memory://"])
def test_other_brokers_keep_their_transport(url: str) -> None:
    """Nothing is known here about them."""
    assert DurableConnection(url).get_transport_cls() is Connection(url).get_transport_cls()
    assert transport_for(url) is None


def test_pools_are_not_shared_with_plain_connections() -> None:
    """An application beside ours, with the same address, keeps kombu's transport."""
    plain_key, durable_key = (each("redis://localhost").__eqhash__() for each in (Connection, DurableConnection))
    assert plain_key != durable_key
    assert Connection("redis://localhost").get_transport_cls() is plain.Transport


def test_connections_of_a_pool_are_durable() -> None:
    """Producers take theirs from one."""
    with DurableConnection("redis://localhost").Pool(1).acquire() as connection:
        assert connection.get_transport_cls() is Transport

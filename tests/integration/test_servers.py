"""The servers of the tests are real, private and separate."""

from __future__ import annotations

import kombu
import psycopg
import pytest
import redis

from tests.servers import StoreServer

pytestmark = pytest.mark.integration


def test_the_store_serves_brokers_and_state(store: StoreServer) -> None:
    """Kombu and redis-py reach the same server, in separate databases."""
    with kombu.Connection(store.broker_url()) as connection:
        connection.SimpleQueue("greetings").put("hello")
    with redis.Redis.from_url(store.state_url(0)) as client:
        assert client.llen("greetings") == 1
    with redis.Redis.from_url(store.state_url()) as client:
        assert client.dbsize() == 0


def test_every_test_has_its_own_vhost(vhost_url: str, rabbit_url: str) -> None:
    """A queue of one virtual host is not seen in another."""
    with kombu.Connection(vhost_url) as connection:
        connection.SimpleQueue("greetings").put("hello")
        assert connection.SimpleQueue("greetings").get(timeout=5).payload == "hello"
    assert vhost_url != rabbit_url


def test_every_test_has_its_own_database(database_url: str) -> None:
    """The database is empty."""
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)

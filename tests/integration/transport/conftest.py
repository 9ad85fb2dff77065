"""A connection of ours, one of kombu's, and the server under both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from kombu import Connection

from fluxora_tasks.transport.connection import DurableConnection
from tests.servers import StoreServer


@pytest.fixture
def server(store: StoreServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(store.state_url(0)) as client:
        yield client


@pytest.fixture
def durable(store_url: str) -> Iterator[Connection]:
    with DurableConnection(store_url) as connection:
        yield connection


@pytest.fixture
def plain(store_url: str) -> Iterator[Connection]:
    with Connection(store_url) as connection:
        yield connection

"""Fixtures of the tests on a real RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.rabbit.broker import Broker
from tests.servers import PrivateRabbit


@pytest.fixture
def broker(vhost_url: str) -> Iterator[Broker]:
    """A virtual host of the test's own."""
    broker = Broker(vhost_url)
    yield broker
    broker.close()


@pytest.fixture(scope="package")
def own_node() -> Iterator[PrivateRabbit]:
    """A node that tests may kill and give orders to; nobody else uses it."""
    node = PrivateRabbit()
    yield node
    node.stop()


@pytest.fixture
def own_broker(own_node: PrivateRabbit) -> Iterator[Broker]:
    """A virtual host on it."""
    broker = Broker(own_node.await_ready().url(own_node.fresh_vhost()))
    yield broker
    broker.close()

"""Selects the durable transport for one application's connections to Redis [kombu].

A setting cannot: kombu's ``broker_transport`` is overruled by the scheme of ``redis+socket://`` and of every address
after the first in a list, and with it ``rediss://`` would go without TLS. Other applications of the process keep
kombu's transport.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from kombu.connection import Connection, ConnectionPool, PooledConnection
from kombu.transport import get_transport_cls
from kombu.utils.collections import HashedSeq

_TRANSPORTS: Final = {
    "kombu.transport.redis:Transport": "fluxora_tasks.transport.redis:Transport",
    "kombu.transport.redis:SentinelTransport": "fluxora_tasks.transport.redis:SentinelTransport",
}


class DurableConnection(Connection):
    """kombu's connection, whose transport is ours where the address is that of a Redis."""

    def get_transport_cls(self) -> Any:
        """The class that the current address needs; asked again after a failover to another address."""
        plain = super().get_transport_cls()
        name = _TRANSPORTS.get(_name_of(plain))
        return plain if name is None else get_transport_cls(name)

    def __eqhash__(self) -> HashedSeq:
        """Another one than kombu's for the same address: their pools are not to be shared."""
        return HashedSeq("durable", *super().__eqhash__())

    def Pool(self, limit: int | None = None, **kwargs: Any) -> ConnectionPool:
        """Connections like this one."""
        return _Pool(self, limit, **kwargs)


class _PooledConnection(DurableConnection, PooledConnection):
    """One of a pool's."""


class _Pool(ConnectionPool):
    """kombu's names the class of its connections itself."""

    def new(self) -> _PooledConnection:
        """One more."""
        return _PooledConnection(self, **dict(self.connection._info(resolve=False)))


def transport_for(url: str) -> str | None:
    """Dotted name of our transport for a broker's address, the first of a list; ``None`` where it stays kombu's."""
    scheme = urlsplit(url.partition(";")[0]).scheme.partition("+")[0]
    return _TRANSPORTS.get(_name_of(get_transport_cls(scheme))) if scheme else None


def _name_of(transport: Any) -> str:
    return f"{transport.__module__}:{transport.__qualname__}"

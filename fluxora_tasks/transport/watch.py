"""Hears of the first message in an empty list, whoever sent it [redis].

A plain producer only pushes; nothing that waits for several lists at once leaves their messages where they are. So the
server is asked to keep track of the keys a consumer found empty (client-side caching, Redis 6.0), and reports the
change of one of them over a second connection. Under load nothing is tracked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from ssl import SSLWantReadError
from typing import Any, Final

from redis.exceptions import ResponseError

logger = logging.getLogger(__name__)

_CHANNEL: Final = "__redis__:invalidate"
_CHUNK: Final = 65536

#: Where a report has the names of keys, one of an emptied database has a null: of protocol 3, or 2.
_NULLS: Final = (b"\r\n_\r\n", b"\r\n*-1\r\n", b"\r\n$-1\r\n")


class Watch:
    """
    The second connection.

    Args:
        connection: redis-py's, of protocol 2, not connected yet.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def open(self, fetching: Any) -> bool:
        """Report what the connection ``fetching`` asks to be tracked; ``False`` where the server refuses."""
        self.connection.connect()
        try:
            number = self._ask(self.connection, "CLIENT", "ID")
            self._ask(self.connection, "SUBSCRIBE", _CHANNEL)
            self._ask(fetching, "CLIENT", "TRACKING", "ON", "REDIRECT", number, "OPTIN")
        except ResponseError as exc:
            logger.warning("the server does not track keys, so lists are polled: %s", exc)
            self.connection.disconnect()
            return False
        return True

    @staticmethod
    def commands(lists: Sequence[str]) -> list[tuple[str, ...]]:
        """Ask for the lists to be tracked; the last answer says how many are not empty already."""
        return [("CLIENT", "CACHING", "YES"), ("EXISTS", *lists)]

    def read(self) -> bool:
        """
        Take in what was reported, unparsed: the fetch that follows looks everywhere, and the report of an emptied
        database has the null of the fetching connection's protocol, which a parser of this one refuses.

        Returns:
            Whether a database was emptied, any of the server's.

        Raises:
            OSError: the connection is closed.
        """
        sock = self.connection._sock
        sock.setblocking(False)
        report = b""
        with suppress(BlockingIOError, SSLWantReadError):
            while some := sock.recv(_CHUNK):
                report += some
            raise ConnectionResetError("the server closed the connection")
        return any(null in report for null in _NULLS)

    def forget(self) -> None:
        """In a child: let go of the socket without a word to the server."""
        sock = getattr(self.connection, "_sock", None)
        if sock is not None:
            sock.close()

    @staticmethod
    def _ask(connection: Any, *command: Any) -> Any:
        connection.send_command(*command)
        return connection.read_response()

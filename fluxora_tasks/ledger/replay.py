"""Claimed replays, from the ledger to the queue their message came from [kombu].

The claim is committed before the publish, the mark after it. A crash in between leaves a claim that ``sweep``
publishes again, with a publish id of its own: the workers run whichever copy they meet first and drop the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from kombu import Connection

from fluxora_tasks.deadletter.topology import is_amqp
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.ledger.repository import Ledger

logger = logging.getLogger(__name__)

#: Seconds the broker may take to confirm one message.
CONFIRM_TIMEOUT: Final = 10.0

#: Seconds after which a claim without a mark counts as that of a crashed publisher.
ABANDONED_AFTER: Final = 30.0

#: AMQP's reply code of a message that no queue takes.
_NO_ROUTE: Final = 312


@dataclass(frozen=True, slots=True)
class PublishFailure:
    """Why a message was not sent.

    Attributes:
        reason: ``no_queue`` · ``broker_away`` · ``not_accepted`` (the broker or its client refused the message).
        detail: One line that says what to do.
    """

    reason: str
    detail: str


class Replayer:
    """Publishes claims over one connection, opened at the first and closed at the end of the ``with`` block.

    Not safe for threads: one owner.

    Args:
        connect: Opens a connection of its own to the broker.
        ledger: Where claims are marked as issued.
    """

    def __init__(self, connect: Callable[[], Connection], ledger: Ledger) -> None:
        self._connect, self._ledger = connect, ledger
        self._connection: Connection | None = None
        self._channel: Any = None
        self._options: dict[str, Any] = {}

    def __enter__(self) -> Replayer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, claims: Sequence[Claim]) -> dict[str, PublishFailure]:
        """
        Publish claims, each confirmed where the broker can, and mark those that arrived.

        Returns:
            The records that were not sent, by id; their claims are still held.

        Raises:
            LedgerUnavailable: sent, but not marked; the sweep sends them again and the workers drop one copy.
        """
        failures: dict[str, PublishFailure] = {}
        issued: list[str] = []
        away: PublishFailure | None = None
        for claim in claims:
            failure = away or self._attempt(claim)
            if failure is None:
                issued.append(claim.item_id)
                continue
            failures[claim.dead_id] = failure
            away = failure if failure.reason == "broker_away" else None
        self._ledger.mark_issued(issued)
        return failures

    def sweep(self) -> int:
        """Publish abandoned claims again; returns how many were sent.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        claims = self._ledger.retake(older_than=ABANDONED_AFTER)
        if not claims:
            return 0
        failures = self.send(claims)
        for claim in claims:
            failure = failures.get(claim.dead_id)
            if failure is not None and failure.reason != "broker_away":
                self._ledger.release(claim.item_id, failure.detail)
        logger.warning("replay.resent claims=%d failed=%d", len(claims), len(failures))
        return len(claims) - len(failures)

    def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception:
                logger.debug("replay.close_failed", exc_info=True)

    def _attempt(self, claim: Claim) -> PublishFailure | None:
        try:
            self._publish(claim)
        except Exception as exc:  # noqa: BLE001 - whatever the transport raises: not confirmed, so not sent
            failure = self._explained(exc, claim)
            # a late confirm on this channel would be taken for that of the next message
            self.close()
            return failure
        return None

    def _publish(self, claim: Claim) -> None:
        channel = self._channel or self._open()
        payload = claim.payload
        properties = dict(payload.properties)
        message = channel.prepare_message(
            payload.body,
            priority=properties.pop("priority", None),
            content_type=payload.content_type,
            content_encoding=payload.content_encoding,
            headers=dict(payload.headers),
            properties=properties,
        )
        channel.basic_publish(message, exchange="", routing_key=claim.queue, **self._options)

    def _open(self) -> Any:
        offered = self._connect()
        amqp = is_amqp(offered)
        # a connection that does not confirm loses what the broker refuses; ours does, whatever was offered
        options = {**(offered.transport_options or {}), **({"confirm_publish": True} if amqp else {})}
        connection = self._connection = offered.clone(transport_options=options)
        offered.release()
        connection.ensure_connection(
            max_retries=1, interval_start=0.1, interval_step=0, reraise_as_library_errors=False
        )
        self._options = {"mandatory": True, "confirm_timeout": CONFIRM_TIMEOUT} if amqp else {}
        self._channel = connection.channel()
        return self._channel

    def _explained(self, exc: Exception, claim: Claim) -> PublishFailure:
        if getattr(exc, "reply_code", None) == _NO_ROUTE:
            return PublishFailure(
                "no_queue",
                f"the queue {claim.queue!r} does not exist; start a worker that consumes it, then replay again",
            )
        connection = self._connection
        if connection is not None and isinstance(exc, connection.connection_errors):
            return PublishFailure(
                "broker_away",
                f"the broker {connection.as_uri()} does not answer ({_one_line(exc)}); start it, then replay again",
            )
        return PublishFailure("not_accepted", f"the broker did not take the message: {_one_line(exc)}")


def _one_line(exc: Exception) -> str:
    lines = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {lines[0][:200]}" if lines else type(exc).__name__

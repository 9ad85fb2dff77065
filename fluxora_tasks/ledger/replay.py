"""Claimed replays, from the ledger to the queue their message came from [kombu].

The claim is committed before the publish, the mark after it. A crash in between leaves a claim that ``sweep``
publishes again, with a publish id of its own: the workers run whichever copy they meet first and drop the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from kombu import Connection

from fluxora_tasks.deadletter.identity import PUBLISH_ID
from fluxora_tasks.deadletter.topology import is_amqp
from fluxora_tasks.ledger.carrier import Carried, Carrier, Parcel, carrier_on
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.ledger.repository import Ledger

logger = logging.getLogger(__name__)

#: Seconds after which a claim without a mark counts as that of a crashed publisher.
ABANDONED_AFTER: Final = 30.0

#: AMQP's reply code of a message that no queue takes.
_NO_ROUTE: Final = 312


@dataclass(frozen=True, slots=True)
class PublishFailure:
    """Why a message was not sent.

    Attributes:
        reason: ``no_queue`` · ``broker_away`` · ``not_accepted`` (the broker or its client refused the message) ·
            ``not_confirmed`` (it refused one of several).
        detail: One line that says what to do.
        is_open: Whether the broker may have it all the same: its claim is kept, and published again by the sweep.
    """

    reason: str
    detail: str
    is_open: bool = False


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
        self._carrier: Carrier | None = None

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
            The records that are not known to be with the broker, by id; their claims are still held.

        Raises:
            LedgerUnavailable: sent, but not marked; the sweep sends them again and the workers drop one copy.
        """
        return self._send(claims)

    def sweep(self) -> int:
        """Publish abandoned claims again; returns how many were sent.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        claims = self._ledger.retake(older_than=ABANDONED_AFTER)
        if not claims:
            return 0
        # one at a time: where it is open which of several the broker refused, it is plain now
        failures = self._send(claims, most=1)
        for claim in claims:
            failure = failures.get(claim.dead_id)
            if failure is not None and failure.reason == "broker_away":
                continue
            if failure is not None:
                self._ledger.release(claim.item_id, failure.detail)
        logger.warning("replay.resent claims=%d failed=%d", len(claims), len(failures))
        return len(claims) - len(failures)

    def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._carrier = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception:
                logger.debug("replay.close_failed", exc_info=True)

    def _send(self, claims: Sequence[Claim], most: int | None = None) -> dict[str, PublishFailure]:
        failures: dict[str, PublishFailure] = {}
        issued: list[str] = []
        rest = claims
        while rest:
            told = self._carry(rest, most)
            for claim, failure in zip(rest, told, strict=False):
                if failure is None:
                    issued.append(claim.item_id)
                else:
                    failures[claim.dead_id] = failure
            rest = rest[len(told) :]
        self._ledger.mark_issued(issued)
        return failures

    def _carry(self, claims: Sequence[Claim], most: int | None) -> Sequence[PublishFailure | None]:
        """What became of the first ones, at least of one; of all, where there is no connection."""
        try:
            carrier = self._carrier or self._open()
        except Exception as exc:  # noqa: BLE001 - whatever the transport raises
            told = [self._explained(Carried(exc), claim) for claim in claims]
            self.close()
            return told
        parcels = [
            Parcel(claim.payload, claim.queue, str(claim.payload.headers[PUBLISH_ID]))
            for claim in claims[: most or carrier.most]
        ]
        carried = carrier.carry(parcels)
        outcomes = [
            None if one.error is None else self._explained(one, claim)
            for claim, one in zip(claims, carried, strict=False)
        ]
        if carrier.is_spent:
            # a late confirm on this channel would be taken for that of another message
            self.close()
        return outcomes

    def _open(self) -> Carrier:
        connection = self._connection = self._connect()
        connection.ensure_connection(
            max_retries=1, interval_start=0.1, interval_step=0, reraise_as_library_errors=False
        )
        broken = connection.connection_errors
        self._carrier = carrier_on(connection.channel(), amqp=is_amqp(connection), broken=broken)
        return self._carrier

    def _explained(self, one: Carried, claim: Claim) -> PublishFailure:
        assert one.error is not None
        line = _one_line(one.error)
        if getattr(one.error, "reply_code", None) == _NO_ROUTE:
            return PublishFailure(
                "no_queue",
                f"the queue {claim.queue!r} does not exist; start a worker that consumes it, then replay again",
            )
        connection = self._connection
        if connection is not None and isinstance(one.error, connection.connection_errors):
            what = "it is sent again by the recorder" if one.is_open else "start it, then replay again"
            detail = f"the broker {connection.as_uri()} does not answer ({line}); {what}"
            return PublishFailure("broker_away", detail, one.is_open)
        if one.is_open:
            detail = f"the broker refused one of several messages ({line}); each is sent again by the recorder"
            return PublishFailure("not_confirmed", detail, is_open=True)
        return PublishFailure("not_accepted", f"the broker did not take the message: {line}")


def _one_line(exc: Exception) -> str:
    lines = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {lines[0][:200]}" if lines else type(exc).__name__

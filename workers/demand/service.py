"""The demand service of the demo: real demand over HTTP, with faults on schedule.

python -m workers.demand.service --port 8000 --seed 7

GET  /v1/regions/{region}/demand/{day}   {"region", "day", "unit": "MW", "values": [{"period_start", "demand"}, …]}
GET  /v1/regions/{region}/recent         {"region", "unit": "MW", "days": {day: [demand, …]}}, the last fifteen
POST /v1/repair                          corrupted days are right from now on; names them
GET  /health                             always 200
"""

from __future__ import annotations

import argparse
import json
import logging
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from workers.demand.faults import Fault, Outage, Schedule, schedule
from workers.demand.records import REGION, period_starts, recorded_days

logger = logging.getLogger(__name__)

#: Seconds a slow answer takes; under the time that clients wait.
SLOW: Final = 0.4
#: Seconds a busy service asks its clients to wait.
HINT: Final = 1

#: Days that are recent.
RECENT: Final = 15

#: Closing a socket that lingers for no time sends a reset.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class DemandService(ThreadingHTTPServer):
    """Serves the record on the loopback address.

    Args:
        plan: What goes wrong for which request.
        outage: When nothing works at all.
        port: 0: a free one.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, plan: Schedule | None = None, outage: Outage | None = None, port: int = 0) -> None:
        self.days = recorded_days()
        self._plan = plan or Schedule()
        self._outage = outage or Outage(after=0, seconds=0)
        self._corrupted = dict(self._plan.corrupted)
        self._requests: Counter[date] = Counter()
        self._answered = 0
        self._dark_until = 0.0
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def is_dark(self) -> bool:
        """Whether the outage is on."""
        return time.monotonic() < self._dark_until

    def fault_for(self, day: date) -> Fault | None:
        """Count one request for a day, and say what it meets."""
        with self._lock:
            if self._goes_dark():
                return Fault.RESET if day.toordinal() % 2 else Fault.BUSY
            self._requests[day] += 1
            return self._corrupted.get(day) or self._plan.fault(day, self._requests[day])

    def repair(self) -> list[str]:
        """Make every corrupted day right; names them."""
        with self._lock:
            repaired, self._corrupted = sorted(self._corrupted), {}
        return [str(day) for day in repaired]

    def body(self, day: date, fault: Fault | None) -> bytes:
        """The answer for a day, whole or corrupted."""
        values: list[float | None] = list(self.days[day])
        if fault is Fault.NONSENSE:
            values[10], values[-3:] = float("nan"), []
        rows = [
            {"period_start": start, "demand": value} for start, value in zip(period_starts(day), values, strict=False)
        ]
        document = {"region": REGION, "day": str(day), "unit": "MW", "values": rows}
        encoded = json.dumps(document).encode()
        return encoded[: len(encoded) // 2] if fault is Fault.TRUNCATED else encoded

    def _goes_dark(self) -> bool:
        self._answered += 1
        if self._answered == self._outage.after + 1:
            self._dark_until = time.monotonic() + self._outage.seconds
        return self.is_dark

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: DemandService

    def do_GET(self) -> None:
        """Answer ``/health`` and demand."""
        match self.path.split("/")[1:]:
            case ["health"]:
                self._answer(HTTPStatus.OK, {"status": "ok", "outage": self.server.is_dark})
            case ["v1", "regions", region, "demand", day]:
                self._demand(region, day)
            case ["v1", "regions", region, "recent"]:
                self._recent(region)
            case _:
                self._answer(HTTPStatus.NOT_FOUND, {"error": "no such page"})

    def do_POST(self) -> None:
        """Answer ``/v1/repair``."""
        if self.path == "/v1/repair":
            self._answer(HTTPStatus.OK, {"repaired": self.server.repair()})
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "no such page"})

    def log_message(self, format: str, *args: Any) -> None:
        """To the log, not to the terminal."""
        logger.info(format, *args)

    def _demand(self, region: str, text: str) -> None:
        day = _day(text)
        fault = self.server.fault_for(day or date.min)
        if not self._refused(fault):
            self._answer_demand(region, day, fault)

    def _recent(self, region: str) -> None:
        if self._refused(self.server.fault_for(date.max)):
            return
        if region != REGION:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"unknown region {region!r}"})
            return
        days = {str(day): self.server.days[day] for day in list(self.server.days)[-RECENT:]}
        self._answer(HTTPStatus.OK, {"region": REGION, "unit": "MW", "days": days})

    def _refused(self, fault: Fault | None) -> bool:
        """Whether a fault ended the request without demand."""
        if fault is Fault.RESET:
            self._reset()
        elif fault is Fault.BUSY:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "busy"})
        elif fault is Fault.BUSY_WITH_HINT:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "busy"}, {"Retry-After": str(HINT)})
        return fault in (Fault.RESET, Fault.BUSY, Fault.BUSY_WITH_HINT)

    def _answer_demand(self, region: str, day: date | None, fault: Fault | None) -> None:
        if fault is Fault.SLOW:
            time.sleep(SLOW)
        if region != REGION:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"unknown region {region!r}"})
        elif day is None or day not in self.server.days:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "no demand is recorded for this day"})
        else:
            self._send(HTTPStatus.OK, self.server.body(day, fault))

    def _answer(self, status: HTTPStatus, document: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(document).encode(), headers)

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """End the connection without an answer."""
        self.log_request("reset")
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.connection.close()


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted; the first line of output is the URL."""
    parser = argparse.ArgumentParser(prog="python -m workers.demand.service", description="Serve electricity demand.")
    parser.add_argument("--port", type=int, default=8000, help="0: a free one (default: 8000)")
    parser.add_argument("--seed", type=int, default=7, help="fixes every fault (default: 7)")
    parser.add_argument("--outage-after", type=int, default=40, help="requests answered before the outage")
    parser.add_argument("--outage", type=float, default=2.5, help="its seconds; 0: none")
    parser.add_argument("--no-faults", action="store_true", help="answer every request as it should be")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    plan = Schedule() if options.no_faults else schedule(options.seed, list(recorded_days()))
    outage = Outage(options.outage_after, 0 if options.no_faults else options.outage)
    with DemandService(plan, outage, options.port) as service:
        print(service.url, flush=True)
        try:
            service.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()

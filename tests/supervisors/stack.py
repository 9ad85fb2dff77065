"""Starts a whole stack of ``tests.apps.plain``, until SIGINT or SIGTERM."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from fluxora_tasks.devstack.stack import Stack
from fluxora_tasks.settings import Settings


def main(state_dir: Path) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = Stack(Settings(state_dir=state_dir), app="tests.apps.plain", flower_port=0)
    stack.start()
    try:
        print(json.dumps(stack.pids), flush=True)
        stack.wait()
    except KeyboardInterrupt:
        pass  # a signal that came before the waiting
    finally:
        stack.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

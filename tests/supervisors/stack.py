"""Starts a whole stack of ``tests.apps.plain``, until SIGINT or SIGTERM."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fluxora_tasks.devstack.stack import Stack
from fluxora_tasks.settings import Settings


def main(state_dir: Path) -> None:
    stack = Stack(Settings(state_dir=state_dir), app="tests.apps.plain", flower_port=0)
    stack.start()
    print(json.dumps(stack.pids), flush=True)
    stack.wait()
    stack.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Starts the embedded store and a child, until SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from fluxora_tasks.devstack.embedded import EmbeddedStore
from fluxora_tasks.devstack.process import ManagedProcess, Program


def main(state_dir: Path) -> None:
    # children of a supervisor that blocks a signal must hear it all the same
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    store = EmbeddedStore(state_dir, state_dir / "store.sock")
    store.start()
    log = state_dir / f"child-{os.getpid()}.log"
    child = ManagedProcess(Program("child", [sys.executable, "-c", "import time; time.sleep(600)"], log))
    print(json.dumps({"store": store.pid, "owner": store.is_owner, "child": child.pid}), flush=True)
    signal.sigwait({signal.SIGTERM})
    child.stop()
    store.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A supervisor to be killed: starts the embedded store and a child, says their process ids, then sleeps."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from fluxora_tasks.devstack.embedded import EmbeddedStore
from fluxora_tasks.devstack.process import ManagedProcess, Program


def main(state_dir: Path) -> None:
    """Start, print one JSON line, wait for SIGTERM, stop."""
    store = EmbeddedStore(state_dir, state_dir / "store.sock")
    store.start()
    log = state_dir / f"child-{os.getpid()}.log"
    child = ManagedProcess(Program("child", [sys.executable, "-c", "import time; time.sleep(600)"], log))
    print(json.dumps({"store": store.pid, "owner": store.is_owner, "child": child.pid}), flush=True)
    signal.sigwait({signal.SIGTERM})
    child.stop()
    store.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(Path(sys.argv[1]))

"""Signals of the demo: heard once, also where Python would swallow them."""

from __future__ import annotations

import os
import signal
import time

import pytest

from workers.demo.scene import Interruption


class Swallowing:
    """Is told to stop while it is being destroyed."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)  # the handler runs between two instructions of this method


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_a_destructor_swallowed_is_raised_again() -> None:
    """The demo ends with the number of the signal, and no alarm is left behind."""

    def play(interruption: Interruption) -> None:
        try:
            Swallowing()
            time.sleep(30)  # ended by the signal
        finally:
            interruption.ignore()

    with Interruption() as interruption, pytest.raises(KeyboardInterrupt) as told:
        play(interruption)
    assert told.value.args == (signal.SIGTERM,)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)

"""The lane [redis]: one thread per process for everything that is kept up with shared state.

Whoever takes part gets a turn at least every ``interval`` seconds, and one soon after ``wake``; one subscription hears
for all of them. The thread starts with the first use, also anew in a forked child, and ends with its last participant.
Under gevent it is a greenlet.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import selectors
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from random import Random
from typing import Any, Final, Protocol, TypeVar

from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from fluxora_tasks.errors import StoreUnavailable
from fluxora_tasks.forks import watch_forks
from fluxora_tasks.state import StateStore

logger = logging.getLogger(__name__)

#: Seconds that a process waits at its end for what was not told yet.
DRAIN: Final = 0.2

#: Seconds between two attempts to subscribe where the server refuses it.
_RESUBSCRIBE: Final = 60.0

_LONG: Final = 3600.0

T = TypeVar("T")


class Participant(Protocol):
    """Keeps something up with shared state; called by the lane's thread only, and held weakly.

    Attributes:
        channels: What it wants to hear.
        interval: Seconds between two turns, at most (give or take a fifth).
    """

    channels: Sequence[str]
    interval: float

    def turn(self) -> None:
        """Make the round trip; may raise ``StoreUnavailable``."""
        ...

    def on_message(self, channel: str, payload: bytes) -> None:
        """Something was published."""
        ...

    def on_store(self, there: bool) -> None:
        """Shared state went away, or is back."""
        ...


class _Place:
    """A participant's place in the order of turns."""

    __slots__ = ("due", "taker")

    def __init__(self, participant: Participant, due: float) -> None:
        self.taker, self.due = weakref.ref(participant), due


class Lane:
    """
    The thread, while it is needed.

    Args:
        state: Shared state.
        monotonic: Source of time.
        random: Spreads the turns of many processes.
    """

    def __init__(
        self, state: StateStore, monotonic: Callable[[], float] = time.monotonic, random: Random | None = None
    ) -> None:
        self.state = state
        self._monotonic = monotonic
        self._random = random or Random()  # noqa: S311 - spreads polls, not a secret
        self._begin()
        _lanes.add(self)
        watch_forks(self)

    def _begin(self) -> None:
        """What a process starts with; a forked child, too."""
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._places: list[_Place] = []
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._rests_until = 0.0
        self._stopping = False
        self._there = True
        self._bell: socket.socket | None = None
        self._ears = _Ears(self.state)

    def forked(self) -> None:
        """In a forked child: the thread, and whoever held the lock, stayed behind; the participants did not."""
        places = self._places
        self._ears.forget()
        if self._bell is not None:
            self._bell.close()
        self._begin()
        self._places = places

    # ------------------------------------------------------------------------------ any thread

    def add(self, participant: Participant) -> None:
        """Give it a turn at once, then regularly; once is enough."""
        with self._lock:
            if not any(place.taker() is participant for place in self._places):
                self._places.append(_Place(participant, self._monotonic()))
        self._ring(0.0)

    def wake(self, within: float, participant: Participant | None = None) -> None:
        """Have a turn within so many seconds: this participant, or each."""
        due = self._monotonic() + within
        with self._lock:
            for place in self._places:
                if place.due > due and (participant is None or place.taker() is participant):
                    place.due = due
        self._ring(due)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Have the thread do something short now; for callers that must not wait for a server themselves."""
        future: Future[T] = Future()
        self._jobs.append((job, future))
        if not self._ring(0.0):
            future.cancel()
        return future

    def stop(self, timeout: float = DRAIN) -> None:
        """One last turn for each, then end the thread; wait for that, but not for long. Any later use starts anew."""
        with self._lock:
            thread, self._stopping = self._thread, True
        if thread is None or thread is threading.current_thread():
            return
        self._ring(0.0)
        thread.join(timeout)

    def _ring(self, due: float) -> bool:
        """See that the thread runs and is awake at ``due``; ``False`` where there can be none any more."""
        with self._lock:
            if self._thread is None and not self._start():
                return False
            if due < self._rests_until and self._bell is not None:
                self._rests_until = due
                with contextlib.suppress(OSError):  # full: it rings already
                    self._bell.send(b"!")
        return True

    def _start(self) -> bool:
        self._stopping = False
        thread = threading.Thread(target=self._run, name="fluxora-lane", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending
            self._thread = None
            return False
        return True

    # ----------------------------------------------------------------------------- its thread

    def _run(self) -> None:
        bell, ear = socket.socketpair()
        bell.setblocking(False)
        ear.setblocking(False)
        with selectors.DefaultSelector() as selector, bell, ear:
            selector.register(ear, selectors.EVENT_READ)
            with self._lock:
                self._bell = bell
            while self._go_on():
                self._do_jobs()
                self._listen(selector)
                self._take_turns()
                self._rest(selector, ear)
            self._ears.leave()

    def _go_on(self) -> bool:
        """Whether there is anything to do ever; deciding and ending are one step, so that nobody is left waiting."""
        with self._lock:
            self._places = [place for place in self._places if place.taker() is not None]
            if (self._places or self._jobs) and not self._stopping:
                return True
        if self._stopping:
            self._do_jobs()
            self._take_turns(everyone=True)
        with self._lock:
            self._thread, self._bell, self._rests_until = None, None, 0.0
        return False

    def _do_jobs(self) -> None:
        while self._jobs:
            job, future = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except Exception as error:  # noqa: BLE001 - it is the caller's
                future.set_exception(error)

    def _listen(self, selector: selectors.BaseSelector) -> None:
        """Whoever listens anew looks afterwards, so that nothing is missed in between."""
        heard = self._ears.join(self._channels(), selector, self._monotonic())
        for place in list(self._places):
            participant = place.taker()
            if participant is not None and not heard.isdisjoint(participant.channels):
                place.due = self._monotonic()

    def _take_turns(self, everyone: bool = False) -> None:
        for place in list(self._places):
            participant = place.taker()
            if participant is None or (place.due > self._monotonic() and not everyone):
                continue
            place.due = self._monotonic() + participant.interval * self._random.uniform(0.8, 1.2)
            self._take_turn(participant)

    def _take_turn(self, participant: Participant) -> None:
        try:
            participant.turn()
        except StoreUnavailable:
            self._notice(False)
        except Exception:
            logger.exception("a turn of %s failed", type(participant).__name__)
        else:
            self._notice(True)

    def _notice(self, there: bool) -> None:
        if there is self._there:
            return
        self._there = there
        if not there:
            self._ears.leave()
        for participant in self._participants():
            _guarded(participant.on_store, there)

    def _rest(self, selector: selectors.BaseSelector, ear: socket.socket) -> None:
        with self._lock:
            due = min((place.due for place in self._places), default=self._monotonic() + _LONG)
            self._rests_until = 0.0 if self._jobs or self._stopping else due
            pause = max(0.0, self._rests_until - self._monotonic())
        for key, _ in selector.select(pause):
            if key.fileobj is ear:
                ear.recv(4096)
            else:
                self._hear()
        self._rests_until = 0.0

    def _hear(self) -> None:
        for channel, payload in self._ears.messages():
            for participant in self._participants():
                if channel in participant.channels:
                    _guarded(participant.on_message, channel, payload)

    def _participants(self) -> list[Participant]:
        found = (place.taker() for place in list(self._places))
        return [participant for participant in found if participant is not None]

    def _channels(self) -> set[str]:
        """What to listen to: nothing while the store is away."""
        return {channel for one in self._participants() for channel in one.channels} if self._there else set()


class _Ears:
    """The lane's one subscription; what is missed meanwhile, the turns make good."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._pubsub: Any = None
        self._joined: set[str] = set()
        self._selector: selectors.BaseSelector | None = None
        self._socket: Any = None
        self._not_before = 0.0

    def join(self, channels: set[str], selector: selectors.BaseSelector, now: float) -> set[str]:
        """Listen to these channels; those that were not listened to before."""
        wanted = channels - self._joined
        if not wanted or now < self._not_before:
            return set()
        self._not_before = now + 1.0
        try:
            self._state.run(lambda client: self._subscribe(client, sorted(wanted)))
        except StoreUnavailable:
            self.leave()
            return set()
        self._joined |= wanted
        self._watch(selector)
        return wanted

    def _subscribe(self, client: Any, channels: list[str]) -> None:
        if self._pubsub is None:
            self._pubsub = client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(*channels)

    def _watch(self, selector: selectors.BaseSelector) -> None:
        sock = self._pubsub.connection._sock
        if sock is not self._socket:
            self._unwatch()
            selector.register(sock, selectors.EVENT_READ)
            self._selector, self._socket = selector, sock

    def _unwatch(self) -> None:
        if self._selector is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._socket)
        self._selector, self._socket = None, None

    def messages(self) -> list[tuple[str, bytes]]:
        """What was heard; none and no subscription any more where the connection is broken."""
        heard: list[tuple[str, bytes]] = []
        try:
            # one read may bring several messages, and messages about the subscription are None
            while self._pubsub is not None and self._pubsub.connection.can_read(timeout=0):
                message = self._pubsub.get_message(timeout=0)
                if message is not None:
                    heard.append((message["channel"].decode(), message["data"]))
        except RedisTimeout:
            pass  # half a message: the rest makes the socket readable again
        except RedisError as error:
            self._lost(error)
        return heard

    def _lost(self, error: RedisError) -> None:
        if isinstance(error, ResponseError):
            logger.warning("shared state refuses subscriptions, so it is polled: %s", error)
            self._not_before += _RESUBSCRIBE
        self.leave()

    def leave(self) -> None:
        """Stop listening."""
        self._unwatch()
        pubsub, self._pubsub, self._joined = self._pubsub, None, set()
        if pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                pubsub.close()

    def forget(self) -> None:
        """In a forked child: let go of the socket without a word to the server."""
        with contextlib.suppress(OSError, AttributeError):
            self._socket.close()


def _guarded(function: Callable[..., None], *args: Any) -> None:
    try:
        function(*args)
    except StoreUnavailable:
        pass  # its next turn says so
    except Exception:
        logger.exception("%s failed", getattr(function, "__qualname__", function))


_lanes: weakref.WeakSet[Lane] = weakref.WeakSet()
_by_state: weakref.WeakValueDictionary[int, Lane] = weakref.WeakValueDictionary()
_making = threading.Lock()


def lane_of(state: StateStore) -> Lane:
    """The lane of a store in this process."""
    with _making:
        lane = _by_state.get(id(state))
        if lane is None or lane.state is not state:
            lane = _by_state[id(state)] = Lane(state)
        return lane


def stop_lanes(timeout: float = DRAIN) -> None:
    """Tell shared state what it was not told yet; for the end of a process. Waits ``timeout`` at most, in all."""
    deadline = time.monotonic() + timeout
    for lane in list(_lanes):
        lane.stop(max(0.0, deadline - time.monotonic()))


def _make_anew() -> None:
    global _making
    _making = threading.Lock()


atexit.register(stop_lanes)
os.register_at_fork(after_in_child=_make_anew)

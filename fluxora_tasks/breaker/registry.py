"""Circuits of this process by name, and the policies they have."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from fluxora_tasks.breaker.live import LiveBreaker
from fluxora_tasks.breaker.name import checked_name
from fluxora_tasks.breaker.policies import Policies
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.policyfile import PolicyFile
from fluxora_tasks.breaker.sharing import Sharing
from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.breaker.stores.redis import RedisBreakerStore
from fluxora_tasks.classification import Classifier, classify
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.forks import watch_forks
from fluxora_tasks.lane import lane_of
from fluxora_tasks.shared import shared_state, when_changed
from fluxora_tasks.state import StateStore

logger = logging.getLogger(__name__)


class Breakers:
    """
    Circuits by name; whoever asks for a name gets the same object.

    Args:
        state: Shared state; ``None``: circuits are this process's own.

    Attributes:
        store: Where shared circuits are kept.
    """

    def __init__(self, state: StateStore | None) -> None:
        self.state = state
        self.store: BreakerStore | None = None
        self._sharing: Sharing | None = None
        self._circuits: MutableMapping[str, LiveBreaker] = {}
        if state is not None:
            self.store = RedisBreakerStore(state)
            self._sharing = Sharing(self.store, lane_of(state), self._refresh_policies)
            # names may depend on arguments; a circuit that nobody uses is kept by the store alone
            self._circuits = weakref.WeakValueDictionary()
        self.forked()
        watch_forks(self)

    def forked(self) -> None:
        """Whoever held the lock stayed behind."""
        self._lock = threading.Lock()

    def get(self, name: str, policy: BreakerPolicy | None = None, classifier: Classifier = classify) -> LiveBreaker:
        """
        The circuit of a name.

        Args:
            policy: What the code says about it, see ``policy_of``; of several opinions the first holds.

        Raises:
            ConfigurationError: a circuit may not be called so.
        """
        with self._lock:
            circuit = self._circuits.get(name)
            if circuit is None:
                circuit = self._made(checked_name(name), policy, classifier)
                self._circuits[name] = circuit
        return circuit

    def policy_of(self, name: str, policy: BreakerPolicy | None = None) -> BreakerPolicy:
        """The rules of a name: those of the code, or else the configured defaults, with what is configured for it."""
        said = _declared.get(name) if policy is None else policy
        try:
            return _configured().of(name, said)
        except ConfigurationError as error:
            logger.error("what is configured for circuit %r does not go with its code, which holds: %s", name, error)
            return said or BreakerPolicy()

    def names(self) -> list[str]:
        """Circuits that this process has, sorted."""
        with self._lock:
            return sorted(self._circuits)

    def _made(self, name: str, policy: BreakerPolicy | None, classifier: Classifier) -> LiveBreaker:
        if self._sharing is None:
            _say_once()
        if policy is not None:
            declare(name, policy)
        rules = self.policy_of(name)
        return LiveBreaker(name, rules, self._sharing, classifier, before_look=self._refresh_policies)

    def _refresh_policies(self) -> None:
        if _file is not None and _file.refresh():
            self.apply_policies()

    def apply_policies(self) -> None:
        """Have what is configured by now in force."""
        with self._lock:
            circuits = list(self._circuits.values())
        for circuit in circuits:
            circuit.use_policy(self.policy_of(circuit.name))


_declared: Final[dict[str, BreakerPolicy]] = {}
_current: Breakers | None = None
_file: PolicyFile | None = None
_is_said = False


def breakers() -> Breakers:
    """The circuits of this process, on its shared state."""
    global _current
    if _current is None or _current.state is not shared_state():
        _current = Breakers(shared_state())
    return _current


def declare(name: str, policy: BreakerPolicy) -> None:
    """
    Say what the code thinks of a circuit, for everybody in this process; of several opinions the first holds.

    Raises:
        ConfigurationError: a circuit may not be called so.
    """
    known = _declared.setdefault(checked_name(name), policy)
    if known.digest != policy.digest:
        logger.warning("circuit %r was declared before with another policy; that one stays in force", name)


def use_policies(path: Path | None) -> None:
    """
    Have policies from a file from now on, over what the code says; ``None``: from no file.

    Raises:
        ConfigurationError: it cannot be read, or does not work.
    """
    global _file
    _file = None if path is None else PolicyFile(path)
    if _current is not None:
        _current.apply_policies()


def _configured() -> Policies:
    return Policies() if _file is None else _file.policies


def _forget() -> None:
    global _current
    _current = None


def _say_once() -> None:
    global _is_said
    if not _is_said:
        _is_said = True
        logger.info("no shared state is configured (FLUXORA_REDIS_URL): each process has circuits of its own")


when_changed(_forget)

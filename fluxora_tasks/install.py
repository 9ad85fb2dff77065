"""install(app): the one place where the parts meet [celery].

A good guest: extends the app's own Task class, changes no setting the app has set, adds no queue that a plain worker
would consume, starts nothing, and keeps nothing alive beyond the app.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from celery import Celery, Task
from celery.utils.collections import ConfigurationView
from celery.utils.imports import symbol_by_name
from kombu import Connection

from fluxora_tasks import shared
from fluxora_tasks.breaker.registry import Breakers, breakers, use_policies
from fluxora_tasks.bulk.surroundings import AppSurroundings
from fluxora_tasks.configuration import redis_among
from fluxora_tasks.deadletter.grouping import BUILT_IN, Grouping, read_grouping
from fluxora_tasks.deadletter.identity import MESSAGE_ID, timed_id
from fluxora_tasks.deadletter.publisher import NotePublisher
from fluxora_tasks.deadletter.redaction import Redaction
from fluxora_tasks.deadletter.redactionfile import read_redaction
from fluxora_tasks.deadletter.topology import dead_letter_queue
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.journal import Journal
from fluxora_tasks.retry.policy import RetryPolicy
from fluxora_tasks.settings import Settings, load_settings, socket_url
from fluxora_tasks.shared import shared_state
from fluxora_tasks.state import StateStore
from fluxora_tasks.task.base import ResilientTask, adopt, resilient_class
from fluxora_tasks.task.degraded import DegradedResults
from fluxora_tasks.task.options import names_of
from fluxora_tasks.task.parameters import parameters_of
from fluxora_tasks.task.representation import representations
from fluxora_tasks.task.results import store_under_original_ids
from fluxora_tasks.transport.connection import DurableConnection
from fluxora_tasks.transport.outgoing import Outgoing
from fluxora_tasks.worker.books import Books
from fluxora_tasks.worker.gate import ReplayGate
from fluxora_tasks.worker.outbox import Outbox
from fluxora_tasks.worker.postponing import DeferralPublisher
from fluxora_tasks.worker.runtime import WorkerRuntime

logger = logging.getLogger(__name__)

#: kombu looks for messages of dead consumers every interval * throttle seconds; its own default of 100 s is long.
_EMBEDDED_TRANSPORT = {
    "visibility_timeout": 3600,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
}

#: A result backend that is away for a moment is waited for, about 20 s with pauses of up to 10 s. Celery reports a run
#: whose result it could not store as failed, and a replay of that record would run it twice.
_PATIENT_RESULTS = {"result_backend_always_retry": True, "result_backend_max_retries": 12}

_ATTRIBUTE = "fluxora"
_UNSET = object()


@dataclass(eq=False)
class Extension:
    """What ``install`` leaves on an app, as ``app.fluxora``; its parts are built when first used.

    Attributes:
        app: The Celery app.
        settings: Settings in force.
        retry_policy: Policy of tasks that bring none.
    """

    app: Celery = field(repr=False)
    settings: Settings
    retry_policy: RetryPolicy

    @functools.cached_property
    def store(self) -> StateStore | None:
        """Shared state, or ``None`` where there is no Redis to keep it in."""
        url = state_url(self.app, self.settings)
        return StateStore(url) if url else None

    @functools.cached_property
    def breakers(self) -> Breakers:
        """Circuits on this app's shared state."""
        return breakers() if shared_state() is self.store else Breakers(self.store)

    @functools.cached_property
    def redaction(self) -> Redaction:
        """What is hidden of messages and failures."""
        return read_redaction(self.settings.redaction_file)

    @functools.cached_property
    def journal(self) -> Journal | None:
        """The journal, or ``None`` where it is switched off or has no store."""
        return Journal(self.store) if self.settings.journal and self.store is not None else None

    @functools.cached_property
    def grouping(self) -> Grouping:
        """How failures are grouped; read once, and inherited by the processes of a pool."""
        path = self.settings.grouping_file
        return read_grouping(path) if path is not None else BUILT_IN

    @functools.cached_property
    def runtime(self) -> WorkerRuntime:
        """The worker's main process: shared by its requests."""
        settings = self.settings
        publisher = NotePublisher(self.connect, settings.dead_letter_exchange, settings.dead_letter_queue)
        books = Books(self.store, self.journal)
        deferrals = Outbox(DeferralPublisher(self.connect), "deferred message")
        return WorkerRuntime(Outbox(publisher), deferrals, ReplayGate(self.store), books, settings.poison_after)

    @functools.cached_property
    def degraded_results(self) -> DegradedResults:
        """Which results a fallback gave."""
        expires = self.app.conf.result_expires
        return DegradedResults(self.store, expires.total_seconds() if isinstance(expires, timedelta) else expires)

    def degraded(self, result: Any) -> dict[str, Any] | None:
        """
        How a fallback came to give a result: ``degraded``, ``source``, ``age``, ``cause``; ``None``: it is the body's.

        Args:
            result: An ``AsyncResult``, or the id of a task.

        Raises:
            StoreUnavailable: shared state does not answer.
        """
        return self.degraded_results.of(str(getattr(result, "id", result)))

    @functools.cached_property
    def known_tasks(self) -> Mapping[str, Any]:
        """Every task of the app by name, also of modules that only a worker imports."""
        try:
            self.app.loader.import_default_modules()
        except Exception:  # what a module of tasks raises: those of the others are known all the same
            logger.warning("tasks.not_all_imported", exc_info=True)
        tasks: Mapping[str, Any] = self.app.tasks
        return tasks

    def circuits_of(self, task: str) -> Sequence[str]:
        """Circuits that each run of a task needs a permit of, by the task's name; none where its arguments decide."""
        return names_of(getattr(self.known_tasks.get(task), "breaker", None))

    def surroundings(self) -> AppSurroundings:
        """What is in the way of replays, asked over a connection of its own; for one owner."""
        return AppSurroundings(
            self.connect,
            self.circuits_of,
            lambda task: task in self.known_tasks,
            self.breakers.store,
            self.settings.dead_letter_queue,
        )

    def connect(self) -> Connection:
        """A connection of its own for publishing, with confirms where the broker has them."""
        connection: Connection = self.app.connection_for_write()
        connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": True}
        return connection


def install(app: Celery, settings: Settings | None = None) -> Extension:
    """
    Make every task of an app resilient, with one line.

    Idempotent. Tasks declared before and after, shared tasks, and tasks with a base class of their own are covered.

    Args:
        app: The Celery app; what it has set itself (broker, backend, queues, acknowledgement) stays.
        settings: Explicit settings; ``FLUXORA_*`` variables and defaults otherwise.

    Raises:
        ConfigurationError: a setting is wrong, or the app was installed before with other settings.
    """
    existing = extension_of(app)
    if existing is not None:
        if settings is not None and settings != existing.settings:
            raise ConfigurationError("install(app) was called before with other settings; call it once")
        return existing
    if not isinstance(app, Celery):
        raise ConfigurationError(f"install() takes a Celery app; got {type(app).__name__}")
    settings = settings or load_settings()
    use_policies(settings.breakers_file)
    extension = Extension(app, settings, _default_policy(settings))
    if settings.redaction_file is not None:
        _ = extension.redaction  # a file that does not work is told now
    if settings.grouping_file is not None:
        _ = extension.grouping  # likewise
    setattr(app, _ATTRIBUTE, extension)
    app.add_defaults(functools.partial(_defaults, app, settings))
    _extend_task_class(app)
    store_under_original_ids(app)
    if settings.redis_transport and app.amqp.Connection is Connection:
        app.amqp.Connection = DurableConnection
    _note_sends(app, extension)
    _share(weakref.ref(extension))
    app.steps["worker"].add("fluxora_tasks.worker.step:PreparationStep")
    app.steps["consumer"].add("fluxora_tasks.worker.step:SettlementStep")
    return extension


def _share(extension: weakref.ref[Extension]) -> None:
    """Circuits, toggles and budgets of this process are those of the app, for as long as it lives."""

    def store() -> StateStore | None:
        installed = extension()
        return installed.store if installed is not None else None

    shared.use(store)


def extension_of(app: Any) -> Extension | None:
    """What ``install`` left on an app; ``None`` where it was not called."""
    extension = vars(app).get(_ATTRIBUTE) if isinstance(app, Celery) else None
    return extension if isinstance(extension, Extension) else None


def state_url(app: Celery, settings: Settings) -> str | None:
    """Where shared state lives: the setting; else the embedded server; else the app's broker or backend if Redis."""
    if settings.redis_url:
        return settings.redis_url
    broker, backend = str(app.conf.broker_write_url or ""), str(app.conf.result_backend or "")
    if broker == socket_url("broker", settings.embedded_socket):
        return socket_url("state", settings.embedded_socket)
    return redis_among(broker.split(";")[0], backend)


def _default_policy(settings: Settings) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=settings.max_attempts,
        base_delay=settings.base_delay,
        max_delay=settings.max_delay,
        backoff_factor=settings.backoff_factor,
    )


def _defaults(app: Celery, settings: Settings) -> dict[str, Any]:
    """What the app has not set itself; asked when its configuration has been read.

    Celery puts added defaults above a configuration object, so what that object says must be left out here.
    """
    wanted: dict[str, Any] = {"task_acks_late": True, **_PATIENT_RESULTS}
    if settings.result_backend:
        wanted["result_backend"] = settings.result_backend
    if not app.conf.broker_write_url:
        wanted["broker_url"] = settings.effective_broker_url
        if settings.uses_embedded_store:
            wanted["broker_transport_options"] = dict(_EMBEDDED_TRANSPORT)
            wanted.setdefault("result_backend", socket_url("results", settings.embedded_socket))
    said = ConfigurationView({}, app.conf.maps[:-1], keys=app.conf._keys, prefix=app.conf.prefix)
    return {name: value for name, value in wanted.items() if said.get(name, _UNSET) in (_UNSET, None)}


def _extend_task_class(app: Celery) -> None:
    own = symbol_by_name(app.task_cls)
    app.task_cls = f"{ResilientTask.__module__}:{ResilientTask.__name__}" if own is Task else resilient_class(own)
    vars(app).pop("Task", None)
    app.on_after_finalize.connect(_adopt_all, sender=app)
    if app.finalized:
        _adopt_all(app)


def _adopt_all(sender: Celery, **_: Any) -> None:
    for task in sender.tasks.values():
        adopt(task)


def _note_sends(app: Celery, extension: Extension) -> None:
    """Give each message its id, its entry in the journal and a safe way out, before it is published."""
    inner = app.send_task
    settings = extension.settings
    outgoing = Outgoing(app, dead_letter_queue(settings.dead_letter_exchange, settings.dead_letter_queue, amqp=True))

    @functools.wraps(inner)
    def send_task(name: str, *args: Any, **options: Any) -> Any:
        outgoing.prepare(options)
        _hide_arguments(app, extension.redaction, name, args, options)
        headers = options.get("headers") or {}
        if MESSAGE_ID in headers:
            return inner(name, *args, **options)
        message_id = timed_id()
        options["headers"] = {**headers, MESSAGE_ID: message_id}
        journal = extension.journal
        if journal is None:
            return inner(name, *args, **options)
        journal.opened(message_id, name)
        try:
            return inner(name, *args, **options)
        except Exception:
            journal.closed([message_id], "unsent")
            raise

    app.send_task = send_task


def _hide_arguments(
    app: Celery, redaction: Redaction, name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Celery's representations of the arguments, which logs and events show, tell no secret."""
    task = options.get("task_type") or app._tasks.get(name)
    names = parameters_of(task) if task is not None else ()
    hidden = representations(*_arguments(*args, **options), names, redaction, app.conf.task_repr_maxlevels)
    for option, text in hidden.items():
        if options.get(option) is None:
            options[option] = text


def _arguments(args: Any = None, kwargs: Any = None, *_: Any, **__: Any) -> tuple[Any, Any]:
    """The two that ``send_task`` takes by position or by name."""
    return args, kwargs

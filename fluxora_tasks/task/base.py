"""ResilientTask: the base class of every task of an installed app [celery]."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import FunctionType
from typing import Any, ClassVar, Final, NoReturn

from billiard.common import terminate_handler_fired
from celery import Task
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate
from kombu.exceptions import OperationalError

from fluxora_tasks.classification import Classifier, Outcome, classify, qualified_name
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.identity import DEFERRAL_HEADERS, FIRST_ATTEMPT_AT
from fluxora_tasks.errors import CircuitBreakerError, NonRetryableError, TaskAborted
from fluxora_tasks.events import RetryGivenUp, RetryScheduled, emit
from fluxora_tasks.fallback import FallbackOutcome, FallbackStrategy, Step
from fluxora_tasks.fallback.outcome import activations
from fluxora_tasks.fallback.runner import refusal_behind
from fluxora_tasks.retry.decision import GiveUp, GiveUpReason, RetryIn, outcome_under
from fluxora_tasks.retry.policy import RetryPolicy
from fluxora_tasks.task.admission import Defer, RunFallback, decide, terms_of, waited_of
from fluxora_tasks.task.budget import affords, began, ended_well, task_budget
from fluxora_tasks.task.fallback import REFUSED, TaskFallback, was_asked
from fluxora_tasks.task.options import OPTIONS, check_options, check_together, policy_of
from fluxora_tasks.task.outcome import Attempt, attempt_of, conclude, kind_of, mark
from fluxora_tasks.task.parking import ParkingBackend
from fluxora_tasks.task.results import original_id_of

logger = logging.getLogger(__name__)

#: Set on a request while its body runs, so that a task calling itself directly is an ordinary call.
_RUNNING = "_fx_running"

_DEFAULT_POLICY = RetryPolicy()

#: Seconds; where no application says otherwise.
_DEFAULT_MAX_DEFER = 3600.0

#: Headers that another attempt does not take along: it begins anew to wait for circuits.
_LEFT_BEHIND: Final = DEFERRAL_HEADERS | {REFUSED}


class ResilientTask(Task):  # type: ignore[misc]  # Celery is untyped
    """A task that is tried again when its failure is transient, and kept when it is given up.

    Celery's own words keep their meaning: ``autoretry_for``, ``max_retries``, ``self.retry``, ``throws``,
    ``Retry``, ``Reject`` and ``Ignore``.

    Attributes:
        retry_policy: Policy of this task; ``None``: the application's default.
        dead_letter: ``False``: failures of this task are not kept.
        on_dead: What canvas learns of a failure. "report": error callbacks fire, the chain ends, a chord fails, as in
            Celery. "park": the failure is stored but nobody is told; chain and chord wait for the replay.
        breaker: The circuit a run needs a permit of: a name, several names, or a function of the task's arguments that
            gives one. Asked in the worker's main process.
        on_open: What happens where a circuit refuses. "defer" (default without a fallback): the message comes again
            later, no attempt is used. "fallback" (default with one): the fallback gives the result. "reject": a dead
            letter at once.
        max_defer: Seconds a message is put off for in all; then it is a dead letter of kind ``breaker_timeout``, or
            the fallback gives the result. ``None``: the application's default.
        pause_queue: Whether the worker stops consuming from a queue while its only circuit is open.
        fallback: What gives the result where no attempt is left, or a circuit refuses.
        strict_replay: ``True``: a replay waits where shared state cannot say whether it is the first copy of its
            message; by default it runs, and its outcome says so.
        fingerprint: What a failure has in common with those like it, see below.
    """

    abstract = True
    Request = "fluxora_tasks.worker.admission:GatedRequest"

    #: Whether no base class of the application beneath this one has a ``__call__`` of its own.
    _plain: ClassVar[bool] = True

    retry_policy: ClassVar[RetryPolicy | None] = None
    dead_letter: ClassVar[bool] = True
    on_dead: ClassVar[str] = "report"
    breaker: ClassVar[str | Sequence[str] | Callable[..., Any] | None] = None
    on_open: ClassVar[str | None] = None
    max_defer: ClassVar[float | timedelta | None] = None
    pause_queue: ClassVar[bool] = False
    fallback: ClassVar[FallbackStrategy | Step | None] = None
    strict_replay: ClassVar[bool] = False

    classifier: ClassVar[Classifier] = classify

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = getattr(cls, "name", None) or cls.__name__
        check_options(name, vars(cls))
        check_together(name, cls)
        if isinstance(vars(cls).get("breaker"), FunctionType):
            cls.breaker = staticmethod(vars(cls)["breaker"])  # of the task's arguments, not of the task
        following = cls.__mro__[cls.__mro__.index(ResilientTask) + 1 :]
        cls._plain = next(base for base in following if "__call__" in vars(base)) is Task

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; in a worker, decide what becomes of a failure."""
        request = self.request
        if request.called_directly or getattr(request, _RUNNING, False):
            return super().__call__(*args, **kwargs)
        setattr(request, _RUNNING, True)
        try:
            if self.fallback is None and (self.retry_policy is None or self.retry_policy.budget is None):
                return self.run(*args, **kwargs) if self._plain else super().__call__(*args, **kwargs)
            return self._guarded(args, kwargs)
        except (Ignore, Reject, Retry):
            raise
        except MemoryError as error:
            self._abort(error)
        except Exception as error:
            given = self._settle(error, args, kwargs)
            if given is None:
                raise
            return given.value
        except BaseException as error:
            if _ends_the_worker(error):
                raise
            self._abort(error)

    def _guarded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the body under its fallback and its budget."""
        fallback, budget, retries = self._fallback, task_budget(self.retry_policy, self.name), self.request.retries
        instead = fallback.instead(self.request, args, kwargs) if fallback is not None else None
        if instead is not None:
            return self._noted(instead).value
        if budget is not None:
            began(budget, retries)
        before = activations()
        value = self.run(*args, **kwargs) if self._plain else super().__call__(*args, **kwargs)
        if fallback is not None:
            fallback.succeeded(value, args, kwargs, before)
        if budget is not None:
            ended_well(budget, retries)
        return value

    def _abort(self, error: BaseException) -> NoReturn:
        """Turn what would end the process, or pass unseen, into an ordinary failure."""
        aborted = TaskAborted(qualified_name(type(error)), str(error))
        mark(aborted, Kind.EXCEPTION, self.attempt_for(aborted).first_at)
        raise aborted from error

    @property
    def backend(self) -> Any:
        """The result backend; for a parked task one that keeps a failure to itself."""
        backend = super().backend
        return ParkingBackend(backend) if self.on_dead == "park" else backend

    @backend.setter
    def backend(self, value: Any) -> None:
        self._backend = value

    def fingerprint(self, failure: BaseException) -> str | Sequence[str] | None:
        """
        What a failure has in common with those like it, where the application knows better; shown to operators.

        Asked after the rules of the grouping file, in the process that ran the body. One that raises is logged once.

        Args:
            failure: What the body raised.

        Returns:
            A text, or several; ``None``: group it as the library does.
        """
        return None

    def policy(self) -> RetryPolicy:
        """The policy in force for this task."""
        extension = getattr(self.app, "fluxora", None)
        return policy_of(self, extension.retry_policy if extension is not None else _DEFAULT_POLICY)

    def attempt_for(self, error: BaseException) -> Attempt:
        """The attempt that the current request is on."""
        request = self.request
        handled_by_celery = isinstance(error, tuple(getattr(self, "autoretry_for", ())))
        return attempt_of(request.id, request.retries, request.headers or {}, datetime.now(UTC), handled_by_celery)

    def _settle(self, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FallbackOutcome | None:
        """Raise Retry if the failure is worth another attempt; else give a fallback, or leave the verdict on it."""
        attempt, policy = self.attempt_for(error), self.policy()
        if _not_called(error):
            mark(error, Kind.BAD_ARGUMENTS, attempt.first_at)
            return None
        outcome = outcome_under(policy, error, self.classifier(error))
        refusal = self._refusal(error) if outcome is Outcome.IGNORED else None
        if refusal is not None:
            return self._refused(refusal, error, attempt, args, kwargs)
        decision = conclude(policy, error, outcome, attempt, datetime.now(UTC))
        if isinstance(decision, RetryIn):
            if affords(task_budget(policy, self.name), error, outcome):
                self._try_again(error, attempt, decision.delay)
            decision = GiveUp(GiveUpReason.BUDGET)
        emit(RetryGivenUp(self.name, attempt.number, decision.reason, qualified_name(type(error))))
        return self._given(error, attempt, self.kind_for(decision, error), args, kwargs)

    def _refusal(self, error: Exception) -> CircuitBreakerError | None:
        """The refusal of a circuit that a failure is about."""
        refusal = refusal_behind(error)
        if refusal is not error and was_asked(self.request):
            return None  # the fallback was asked about the refusal, and wants this error raised
        return refusal

    def _refused(
        self,
        refusal: CircuitBreakerError,
        error: Exception,
        attempt: Attempt,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> FallbackOutcome | None:
        """
        Give a fallback, have the worker put the message off, or leave the verdict on the error.

        Raises:
            Reject: with the refusal as its reason, for the worker.
        """
        what = self._decide(refusal)
        if isinstance(what, RunFallback):
            given = self._given(error, attempt, Kind.BREAKER_TIMEOUT, args, kwargs)
            if given is not None:
                return given
            what = self._decide(refusal, asked=True)
        if isinstance(what, Defer) and not self.request.is_eager:
            # a new one, without the traceback and the notes of this run
            raise Reject(CircuitBreakerError(*refusal.args), requeue=True) from error
        mark(error, Kind.BREAKER_TIMEOUT, attempt.first_at)
        return None

    def _decide(self, refusal: CircuitBreakerError, asked: bool = False) -> Any:
        extension = getattr(self.app, "fluxora", None)
        default = extension.settings.max_defer if extension is not None else _DEFAULT_MAX_DEFER
        terms = terms_of(self, default, asked or was_asked(self.request))
        return decide(refusal, terms, waited_of(self.request.headers))

    def _given(
        self, error: Exception, attempt: Attempt, kind: Kind, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> FallbackOutcome | None:
        """What the fallback gives for a failure; ``None``: nothing, and the verdict is left on the error."""
        fallback, given = self._fallback, None
        try:
            if fallback is not None:
                given = fallback.after(error, self.request, args, kwargs, attempt.number)
        except Exception as instead:
            mark(instead, kind, attempt.first_at)
            raise
        if given is None:
            mark(error, kind, attempt.first_at)
            return None
        return self._noted(given)

    @functools.cached_property
    def _fallback(self) -> TaskFallback | None:
        if self.fallback is None:
            return None
        return TaskFallback(self.name, self.fallback, self.classifier, is_gated=self.breaker is not None)

    def _noted(self, outcome: FallbackOutcome) -> FallbackOutcome:
        """The outcome, after the result of this run is marked as degraded."""
        extension = getattr(self.app, "fluxora", None)
        try:
            if extension is not None:
                for task_id in filter(None, (str(self.request.id), original_id_of(self.request))):
                    extension.degraded_results.note(task_id, outcome.meta())
        except Exception:
            logger.exception("marking a result as degraded failed")
        return outcome

    def kind_for(self, decision: GiveUp, error: BaseException) -> Kind:
        """The kind of dead letter this failure makes."""
        give_up_on: Any = self.policy().give_up_on
        return kind_of(decision, error, isinstance(error, (NonRetryableError, *give_up_on)))

    def signature_from_request(self, request: Any = None, *args: Any, **options: Any) -> Any:
        """The next attempt, whoever asks for it."""
        request = self.request if request is None else request
        headers = options.get("headers", request.headers)
        if headers is not None:
            options["headers"] = {name: value for name, value in headers.items() if name not in _LEFT_BEHIND}
        return super().signature_from_request(request, *args, **options)

    def _try_again(self, error: Exception, attempt: Attempt, delay: float) -> None:
        """
        Publish the next attempt, then raise Retry so that Celery settles this one.

        Raises:
            Retry: the next attempt is on its way.
            Reject: the broker is away; the message goes back as it is.
        """
        request = self.request
        headers = {**(request.headers or {}), FIRST_ATTEMPT_AT: attempt.first_at.isoformat()}
        signature = self.signature_from_request(request, countdown=delay, retries=request.retries + 1, headers=headers)
        scheduled = RetryScheduled(self.name, attempt.number, delay, qualified_name(type(error)))
        retry = Retry(exc=error, when=delay, is_eager=request.is_eager, sig=signature)
        if request.is_eager:
            emit(scheduled)
            raise retry from error
        try:
            signature.apply_async()
        except OperationalError as exc:
            raise Reject(exc, requeue=True) from error
        except Exception as exc:
            logger.exception("retry could not be published, the message goes to the ledger instead")
            mark(error, Kind.PUBLISH_FAILED, attempt.first_at)
            raise error from exc
        emit(scheduled)
        raise retry from error


def _not_called(error: Exception) -> bool:
    """Whether the arguments did not fit, so that the body never began: nothing but our own frames were reached."""
    if not isinstance(error, TypeError) or error.__traceback__ is None:
        return False
    return all(frame.f_globals is globals() for frame, _ in traceback.walk_tb(error.__traceback__))


def _ends_the_worker(error: BaseException) -> bool:
    """Whether it is the worker that ends, or a pool of greenlets that ends a run, rather than the task itself."""
    if isinstance(error, (WorkerShutdown, WorkerTerminate)) or terminate_handler_fired():
        return True
    return type(error).__module__.partition(".")[0] in ("gevent", "greenlet", "eventlet")


def resilient_class(cls: type[Task]) -> type[Task]:
    """The class itself where it is resilient already, else a subclass that is, with its own behaviour beneath."""
    if issubclass(cls, ResilientTask):
        return cls
    options = {option: getattr(cls, option) for option in OPTIONS if hasattr(cls, option)}
    return type(cls.__name__, (ResilientTask, cls), {**options, "abstract": True, "__module__": cls.__module__})


def adopt(task: Task) -> None:
    """Make a task resilient that was declared with a base class of its own, or before ``install``."""
    if not isinstance(task, ResilientTask):
        task.__class__ = resilient_class(type(task))

"""ResilientTask: the base class of every task of an installed app [celery]."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn

from billiard.common import terminate_handler_fired
from celery import Task, states
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate
from kombu.exceptions import OperationalError

from fluxora_tasks.classification import Classifier, classify, qualified_name
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.identity import FIRST_ATTEMPT_AT
from fluxora_tasks.errors import NonRetryableError, TaskAborted
from fluxora_tasks.retry.decision import GiveUp, RetryIn
from fluxora_tasks.retry.policy import RetryPolicy
from fluxora_tasks.task.options import check_options, policy_of
from fluxora_tasks.task.outcome import Attempt, attempt_of, conclude, kind_of, mark

logger = logging.getLogger(__name__)

#: Set on a request while its body runs, so that a task calling itself directly is an ordinary call.
_RUNNING = "_fx_running"

_DEFAULT_POLICY = RetryPolicy()


class ResilientTask(Task):  # type: ignore[misc]  # Celery is untyped
    """A task that is tried again when its failure is transient, and kept when it is given up.

    Celery's own words keep their meaning: ``autoretry_for``, ``max_retries``, ``self.retry``, ``throws``,
    ``Retry``, ``Reject`` and ``Ignore``.

    Attributes:
        retry_policy: Policy of this task; ``None``: the application's default.
        dead_letter: ``False``: failures of this task are not kept.
        on_dead: What canvas learns of a failure. "report": error callbacks fire, the chain ends, a chord fails, as in
            Celery. "park": the failure is stored but nobody is told; chain and chord wait for the replay.
    """

    abstract = True
    Request = "fluxora_tasks.worker.request:CapturingRequest"

    #: Whether no base class of the application beneath this one has a ``__call__`` of its own.
    _plain: ClassVar[bool] = True

    retry_policy: ClassVar[RetryPolicy | None] = None
    dead_letter: ClassVar[bool] = True
    on_dead: ClassVar[str] = "report"

    classifier: ClassVar[Classifier] = classify

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_options(getattr(cls, "name", None) or cls.__name__, vars(cls))
        following = cls.__mro__[cls.__mro__.index(ResilientTask) + 1 :]
        cls._plain = next(base for base in following if "__call__" in vars(base)) is Task

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; in a worker, decide what becomes of a failure."""
        request = self.request
        if request.called_directly or getattr(request, _RUNNING, False):
            return super().__call__(*args, **kwargs)
        setattr(request, _RUNNING, True)
        try:
            return self.run(*args, **kwargs) if self._plain else super().__call__(*args, **kwargs)
        except (Ignore, Reject, Retry):
            raise
        except MemoryError as error:
            self._abort(error)
        except Exception as error:
            self._settle(error)
            raise
        except BaseException as error:
            if _ends_the_worker(error):
                raise
            self._abort(error)

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

    def policy(self) -> RetryPolicy:
        """The policy in force for this task."""
        extension = getattr(self.app, "fluxora", None)
        return policy_of(self, extension.retry_policy if extension is not None else _DEFAULT_POLICY)

    def attempt_for(self, error: BaseException) -> Attempt:
        """The attempt that the current request is on."""
        request = self.request
        handled_by_celery = isinstance(error, tuple(getattr(self, "autoretry_for", ())))
        return attempt_of(request.id, request.retries, request.headers or {}, datetime.now(UTC), handled_by_celery)

    def _settle(self, error: Exception) -> None:
        """Raise Retry if the failure is worth another attempt, else leave the verdict on it."""
        attempt, policy = self.attempt_for(error), self.policy()
        decision = conclude(policy, error, attempt, datetime.now(UTC), self.classifier)
        if isinstance(decision, RetryIn):
            self._try_again(error, attempt, decision.delay)
        else:
            kind = Kind.BAD_ARGUMENTS if _not_called(error) else self.kind_for(decision, error)
            mark(error, kind, attempt.first_at)

    def kind_for(self, decision: GiveUp, error: BaseException) -> Kind:
        """The kind of dead letter this failure makes."""
        give_up_on: Any = self.policy().give_up_on
        return kind_of(decision, error, isinstance(error, (NonRetryableError, *give_up_on)))

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
        retry = Retry(exc=error, when=delay, is_eager=request.is_eager, sig=signature)
        if request.is_eager:
            raise retry from error
        try:
            signature.apply_async()
        except OperationalError as exc:
            raise Reject(exc, requeue=True) from error
        except Exception as exc:
            logger.exception("retry could not be published, the message goes to the ledger instead")
            mark(error, Kind.PUBLISH_FAILED, attempt.first_at)
            raise error from exc
        raise retry from error


class ParkingBackend:
    """A result backend that stores a failure without telling chord, chain and error callbacks."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def mark_as_failure(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Any = None, store_result: bool = True,
        call_errbacks: bool = True, state: str = states.FAILURE,
    ) -> None:  # fmt: skip
        """Store the result, and nothing else."""
        if store_result:
            self._backend.store_result(task_id, exc, state, traceback=traceback, request=request)


def _not_called(error: Exception) -> bool:
    """Whether the arguments did not fit, so that the body never began: nothing but our own frame was reached."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def _ends_the_worker(error: BaseException) -> bool:
    """Whether it is the worker that ends, or a pool of greenlets that ends a run, rather than the task itself."""
    if isinstance(error, (WorkerShutdown, WorkerTerminate)) or terminate_handler_fired():
        return True
    return type(error).__module__.partition(".")[0] in ("gevent", "greenlet", "eventlet")


def resilient_class(cls: type[Task]) -> type[Task]:
    """The class itself where it is resilient already, else a subclass that is, with its own behaviour beneath."""
    if issubclass(cls, ResilientTask):
        return cls
    return type(cls.__name__, (ResilientTask, cls), {"abstract": True, "__module__": cls.__module__})


def adopt(task: Task) -> None:
    """Make a task resilient that was declared with a base class of its own, or before ``install``."""
    if not isinstance(task, ResilientTask):
        task.__class__ = resilient_class(type(task))

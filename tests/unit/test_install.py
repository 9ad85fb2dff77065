"""install(app): a good guest."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks import Settings, install
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.install import extension_of, state_url


def fresh(**options: Any) -> Celery:
    return Celery("guest", set_as_current=False, **options)


def test_what_the_app_says_stays() -> None:
    """Broker, backend and acknowledgement of the app, however it says them, are untouched."""

    class Config:
        broker_url = "redis://object/1"
        task_acks_late = False

    said = fresh(broker="amqp://said//", backend="cache+memory://")
    by_object = fresh()
    by_object.config_from_object(Config)
    later = fresh()
    namespaced = fresh()
    namespaced.config_from_object(
        {"CELERY_TASK_ACKS_LATE": False, "CELERY_BROKER_URL": "redis://n/1"}, namespace="CELERY"
    )
    for app in (said, by_object, later, namespaced):
        install(app, Settings(broker_url="redis://ours/0", result_backend="redis://ours/1"))
    later.conf.task_acks_late = False
    assert (said.conf.broker_url, said.conf.result_backend) == ("amqp://said//", "cache+memory://")
    assert (by_object.conf.broker_url, by_object.conf.task_acks_late) == ("redis://object/1", False)
    assert (later.conf.broker_url, later.conf.task_acks_late) == ("redis://ours/0", False)
    assert (namespaced.conf.broker_url, namespaced.conf.task_acks_late) == ("redis://n/1", False)


def test_where_the_app_says_nothing_the_settings_do() -> None:
    """Late acknowledgement and the URLs of the settings."""
    app = fresh()
    install(app, Settings(broker_url="redis://ours/0", result_backend="redis://ours/1"))
    assert (app.conf.broker_url, app.conf.result_backend, app.conf.task_acks_late) == (
        "redis://ours/0", "redis://ours/1", True,
    )  # fmt: skip


def test_with_nothing_set_everything_is_embedded(tmp_path: Path) -> None:
    """Broker, results and state in one server under the state directory."""
    app = fresh()
    settings = Settings(state_dir=tmp_path)
    install(app, settings)
    assert app.conf.broker_url == f"redis+socket://{settings.embedded_socket}"
    assert app.conf.result_backend == f"redis+socket://{settings.embedded_socket}?virtual_host=1"
    assert state_url(app, settings) == f"unix://{settings.embedded_socket}?db=2"


@pytest.mark.parametrize(
    ("broker", "backend", "expected"),
    [
        ("redis://h/3", None, "redis://h/3"),
        ("amqp://h//", "rediss://h/1", "rediss://h/1"),
        ("amqp://h//", None, None),
        ("redis+socket:///run/x.sock", None, "unix:///run/x.sock"),
    ],
)
def test_shared_state_lives_in_the_redis_that_is_there(broker: str, backend: str | None, expected: str | None) -> None:
    """Without redis_url: the broker or result backend of the app, if that is Redis."""
    app = fresh(broker=broker, backend=backend)
    assert state_url(app, install(app, Settings()).settings) == expected


def test_it_is_idempotent_and_refuses_a_second_opinion() -> None:
    """Twice is once; other settings the second time are an error, not a silent choice."""
    app = fresh(broker="memory://")
    first = install(app, Settings(max_attempts=7))
    assert install(app) is first
    assert extension_of(app) is first
    with pytest.raises(ConfigurationError, match="call it once"):
        install(app, Settings(max_attempts=8))


def test_only_celery_apps() -> None:
    """The usual mistake has a clear answer."""
    with pytest.raises(ConfigurationError, match="takes a Celery app"):
        install("workers.app")  # type: ignore[arg-type]
    assert extension_of(object()) is None


def test_a_plain_worker_consumes_what_it_consumed_before() -> None:
    """The queues an app consumes and declares are the same with and without install."""
    plain, installed = fresh(broker="memory://"), fresh(broker="memory://")
    install(installed)
    for app in (plain, installed):
        app.conf.task_routes = {"a.*": {"queue": "special"}}

    def shape(app: Celery) -> Any:
        return {
            name: (queue.exchange.name, queue.exchange.type, queue.routing_key, queue.queue_arguments)
            for name, queue in app.amqp.queues.consume_from.items()
        }

    assert shape(installed) == shape(plain)
    assert installed.amqp.router.route({}, "a.b")["queue"].name == plain.amqp.router.route({}, "a.b")["queue"].name


def test_the_app_can_still_be_pickled() -> None:
    """Pools that spawn send the app to their children."""
    app = fresh(broker="memory://")
    install(app)
    assert pickle.loads(pickle.dumps(app)).conf.broker_url == "memory://"


def test_no_part_is_built_before_it_is_needed() -> None:
    """Installing opens no connection and starts no thread."""
    app = fresh(broker="redis://nowhere.invalid:1/0")
    extension = install(app)
    assert set(vars(extension)) == {"app", "settings", "retry_policy"}


def test_circuits_are_known_by_the_name_of_a_task() -> None:
    """Also of tasks in modules that only a worker imports; a module that cannot be imported hides no other task."""
    app = fresh(include=["tests.apps.no_such_module"])
    extension = install(app)

    @app.task(name="one", breaker="weather")
    def one() -> None: ...

    @app.task(name="two", breaker=["weather", "prices"])
    def two() -> None: ...

    @app.task(name="by_argument", breaker=lambda region: f"weather-{region}")
    def by_argument(region: str) -> None: ...

    found = [tuple(extension.circuits_of(name)) for name in ("one", "two", "by_argument", "nobody_knows_me")]
    assert found == [("weather",), ("weather", "prices"), (), ()]

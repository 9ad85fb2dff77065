"""configure(settings): shared state and policies for a process without a Celery app of ours [celery]."""

from __future__ import annotations

from urllib.parse import urlsplit

from fluxora_tasks import shared
from fluxora_tasks.breaker.registry import use_policies
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.settings import Settings, load_settings, socket_url
from fluxora_tasks.state import StateStore


def configure(settings: Settings | None = None) -> None:
    """
    Say where this process finds shared circuits, toggles and budgets; ``install(app)`` says it for an app.

    Without either, the ``FLUXORA_*`` variables say it when somebody needs it first.

    Args:
        settings: ``None``: the variables and defaults.

    Raises:
        ConfigurationError: a setting is wrong, or the file of policies does not work.
    """
    settings = settings or load_settings()
    if not isinstance(settings, Settings):
        raise ConfigurationError(f"configure() takes Settings; got {type(settings).__name__}")
    use_policies(settings.breakers_file)
    shared.use(lambda: state_of(settings))


def state_of(settings: Settings) -> StateStore | None:
    """Shared state as settings alone find it; ``None``: there is none."""
    url = url_of(settings)
    return StateStore(url) if url else None


def url_of(settings: Settings) -> str | None:
    """The setting; else the broker or result backend if Redis; else the embedded server, where it runs."""
    if settings.redis_url:
        return settings.redis_url
    found = redis_among((settings.broker_url or "").split(";")[0], settings.result_backend or "")
    if found is None and settings.uses_embedded_store and settings.embedded_socket.exists():
        return socket_url("state", settings.embedded_socket)
    return found


def redis_among(*urls: str) -> str | None:
    """The first of these that is a Redis, as a client of it spells it."""
    for url in urls:
        scheme = urlsplit(url).scheme
        if scheme in ("redis", "rediss"):
            return url
        if scheme == "redis+socket":
            return f"unix://{urlsplit(url).path}"
    return None


def _by_variables() -> StateStore | None:
    """What the variables say, where nobody said anything else."""
    settings = load_settings()
    use_policies(settings.breakers_file)
    return state_of(settings)


shared.use(_by_variables)

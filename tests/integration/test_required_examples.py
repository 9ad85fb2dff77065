"""The usage examples of the first requirements, unchanged but for the line of the import."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

CIRCUIT_BREAKER = """
from fluxora_tasks import CircuitBreaker

# Define a fallback function
def fallback_get_user(user_id):
    return {"user_id": user_id, "name": "Unknown", "is_fallback": True}

# Create a circuit breaker
user_service_circuit = CircuitBreaker(
    failure_threshold=5,
    recovery_timeout=30,
    fallback_function=fallback_get_user
)

# Apply the circuit breaker to a function
@user_service_circuit
def get_user(user_id):
    # Make a request to the user service
    response = requests.get(f"http://user-service/users/{user_id}")
    if response.status_code != 200:
        raise Exception(f"Failed to get user: {response.text}")
    return response.json()

# Use the function
user = get_user("123")
"""

RETRY = """
from fluxora_tasks import retry, RetryableError

# Define retryable errors
class TemporaryDatabaseError(RetryableError):
    pass

# Apply retry decorator to a function
@retry(
    max_attempts=3,
    retry_exceptions=TemporaryDatabaseError,
    base_delay=1.0,
    backoff_factor=2.0,
    jitter=True
)
def save_data(data):
    try:
        # Try to save data to the database
        db.save(data)
    except DatabaseError as e:
        if is_temporary_error(e):
            raise TemporaryDatabaseError(str(e))
        raise

# Use the function
save_data({"key": "value"})
"""

FALLBACK = """
from fluxora_tasks import with_fallback, CachedDataFallback, DefaultValueFallback, ChainedFallback

# Define a cache provider
def get_cached_weather():
    return {"temperature": 20, "conditions": "sunny", "is_cached": True}

# Create fallback strategies
cached_weather_fallback = CachedDataFallback(get_cached_weather)
default_weather_fallback = DefaultValueFallback({"temperature": 0, "conditions": "unknown", "is_default": True})

# Create a chained fallback
weather_fallback = ChainedFallback([cached_weather_fallback, default_weather_fallback])

# Apply fallback to a function
@with_fallback(weather_fallback)
def get_weather(location):
    # Make a request to the weather service
    response = requests.get(f"http://weather-service/weather/{location}")
    if response.status_code != 200:
        raise Exception(f"Failed to get weather: {response.text}")
    return response.json()

# Use the function
weather = get_weather("New York")
"""

DEAD_LETTER = """
from fluxora_tasks import retry, RetryableError

class MessageProcessingError(RetryableError):
    pass

@retry(
    max_attempts=3,
    retry_exceptions=MessageProcessingError,
    base_delay=1.0,
    backoff_factor=2.0,
    jitter=True
)
def process_message(message):
    try:
        # Process the message
        result = do_processing(message)
        return result
    except Exception as e:
        # If processing fails after retries, send to dead letter queue
        send_to_dead_letter_queue(message, str(e))
        raise

def send_to_dead_letter_queue(message, error_message):
    try:
        response = requests.post(
            "http://dead-letter-queue/messages",
            json={
                "source_queue": "main-queue",
                "destination_service": "processing-service",
                "payload": message,
                "error_message": error_message
            }
        )
        return response.status_code == 200
    except Exception as e:
        print(f"Failed to send to dead letter queue: {str(e)}")
        return False
"""


class Elsewhere:
    """The other side of the examples' requests."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.requests: list[str] = []

    def get(self, url: str) -> Any:
        self.requests.append(url)
        return SimpleNamespace(status_code=self.status, text="ill", json=lambda: {"from": url})

    def post(self, url: str, json: Any) -> Any:
        self.requests.append(json["error_message"])
        return SimpleNamespace(status_code=self.status)


def run(example: str, **names: Any) -> dict[str, Any]:
    """Run an example where these names are known."""
    space: dict[str, Any] = names
    exec(compile(example, "example", "exec"), space)
    return space


def test_circuit_breaker() -> None:
    """A user while the service is well, the fallback when it is not; after five failures it is spared."""
    assert run(CIRCUIT_BREAKER, requests=Elsewhere(200))["user"] == {"from": "http://user-service/users/123"}
    ill = Elsewhere(500)
    space = run(CIRCUIT_BREAKER, requests=ill)
    users = [space["get_user"](str(number)) for number in range(7)]
    assert all(user["is_fallback"] for user in users)
    assert len(ill.requests) == 5
    assert space["user_service_circuit"].get_state()["state"] == "OPEN"


def test_retry() -> None:
    """The second attempt saves it; what is not temporary is raised at once."""

    class DatabaseError(Exception):
        pass

    class Database:
        saved = 0

        def save(self, data: Any) -> None:
            self.saved += 1
            if self.saved == 1:
                raise DatabaseError("busy")

    database = Database()
    run(RETRY, db=database, DatabaseError=DatabaseError, is_temporary_error=lambda error: True)
    assert database.saved == 2
    with pytest.raises(DatabaseError):
        run(RETRY, db=Database(), DatabaseError=DatabaseError, is_temporary_error=lambda error: False)


def test_fallback() -> None:
    """The weather, or what the cache remembers of it."""
    assert run(FALLBACK, requests=Elsewhere(200))["weather"] == {"from": "http://weather-service/weather/New York"}
    assert run(FALLBACK, requests=Elsewhere(503))["weather"]["is_cached"] is True


def test_dead_letter() -> None:
    """Each failure is posted, the last one is raised."""
    queue = Elsewhere(200)
    space: dict[str, Any] = {"requests": queue}

    def do_processing(message: Any) -> None:
        raise space["MessageProcessingError"]("later") if len(queue.requests) < 1 else ValueError("broken")

    space["do_processing"] = do_processing
    exec(compile(DEAD_LETTER, "example", "exec"), space)
    with pytest.raises(ValueError, match="broken"):
        space["process_message"]("message")
    assert queue.requests == ["later", "broken"]

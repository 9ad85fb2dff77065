"""Celery's own integration suite with ``install(app)`` and without: ``python -m tests.celery_suite.run``.

The suite of the installed Celery's source distribution is downloaded to a temporary directory; nothing of it is kept.
Each run gets a Redis and, for RabbitMQ, a virtual host of its own. Tests that end differently run again alone, three
times on each side, so that an unstable one is not taken for a difference. Half an hour per run; runs mostly wait.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import redis

from fluxora_tasks.devstack.embedded import server_program
from fluxora_tasks.devstack.process import ManagedProcess, Program
from tests.celery_suite.differences import DIFFERENCES
from tests.celery_suite.outcomes import Difference, differences, outcomes
from tests.servers import PrivateRabbit, free_port, server_directory
from tests.waiting import wait_until

_HERE: Final = Path(__file__).resolve().parent
_ROOT: Final = _HERE.parent.parent
_AGAIN: Final = 3

#: A few minutes of it: one of each kind.
_SHORT: Final = (
    "test_tasks and (test_basic or test_fail or test_retry or test_revoked) or test_inspect or test_simple_chain"
)


@dataclass(frozen=True, slots=True)
class Suite:
    """The unpacked suite and what it needs.

    Attributes:
        directory: Where it and the files of the runs are.
        arguments: More arguments for pytest.
    """

    directory: Path
    arguments: Sequence[str]

    def run(self, name: str, environment: Mapping[str, str], *arguments: str) -> dict[str, str]:
        """Run it once; the outcome of each test."""
        report, log = self.directory / f"{name}.xml", self.directory / f"{name}.log"
        with log.open("w") as output:
            subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "celery.contrib.pytest"),
                    *("--junitxml", str(report), "-v", *arguments),
                ],
                cwd=self.directory / "suite",
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if not report.exists():
            raise RuntimeError(f"the suite did not run:\n{log.read_text()[-3000:]}")
        return outcomes(report)


def main() -> int:
    """Run, compare, print; 1 if a difference has no reason on record."""
    options = _parser().parse_args()
    with ExitStack() as stack:
        directory = options.keep or Path(stack.enter_context(_temporary()))
        directory.mkdir(parents=True, exist_ok=True)
        print(f"Celery {version('celery')}: fetching its integration suite", flush=True)
        _fetch(directory)
        suite = Suite(directory, ("-k", _SHORT) if options.short else options.arguments)
        rabbit = stack.enter_context(_rabbit()) if "rabbit" in options.broker else None
        with ThreadPoolExecutor(len(options.broker)) as pool:
            compared = pool.map(lambda broker: _compare(suite, broker, rabbit), options.broker)
            return max([_report(broker, found) for broker, found in zip(options.broker, compared, strict=True)])


# ---------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both runs on one broker.

    Attributes:
        plain: Outcome by test, without us.
        ours: The same with us.
        confirmed: Differences that came again every time.
        unstable: Differences that did not.
        seconds: How long both took.
    """

    plain: Mapping[str, str]
    ours: Mapping[str, str]
    confirmed: Sequence[Difference]
    unstable: Sequence[Difference]
    seconds: tuple[float, float]


def _compare(suite: Suite, broker: str, rabbit: PrivateRabbit | None) -> Comparison:
    def both(name: str, *arguments: str) -> list[tuple[dict[str, str], float]]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda ours: _one(suite, f"{broker}-{name}", broker, rabbit, ours, arguments), (0, 1)))

    (plain, plain_time), (ours, our_time) = both("all", "t/integration", *_without_azure(), *suite.arguments)
    confirmed, unstable = [], []
    for difference in differences(plain, ours):
        again = [both(f"again-{number}", "-p", "no:rerunfailures", _path(difference.test)) for number in range(_AGAIN)]
        steady = {(first.get(difference.test), second.get(difference.test)) for (first, _), (second, _) in again}
        same = steady == {(difference.plain, difference.ours)}
        (confirmed if same else unstable).append(difference)
    return Comparison(plain, ours, confirmed, unstable, (plain_time, our_time))


def _one(
    suite: Suite, name: str, broker: str, rabbit: PrivateRabbit | None, ours: int, arguments: Sequence[str]
) -> tuple[dict[str, str], float]:
    start = time.monotonic()
    with _redis() as port:
        url = f"redis://127.0.0.1:{port}"
        environment = {
            "TEST_BROKER": url
            if rabbit is None or broker == "redis"
            else rabbit.await_ready().url(rabbit.fresh_vhost()),
            "TEST_BACKEND": url,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(port),
            "WORKER_LOGLEVEL": "INFO",
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": os.pathsep.join(map(str, (suite.directory / "suite", suite.directory / "tools", _ROOT))),
        }
        plugin = ("-p", "tests.celery_suite.plugin") if ours else ()
        found = suite.run(f"{name}-{'ours' if ours else 'plain'}", environment, *plugin, *arguments)
    return found, time.monotonic() - start


def _without_azure() -> tuple[str, ...]:
    return ("--ignore", "t/integration/test_backend.py")


def _path(test: str) -> str:
    """``t.integration.test_x.test_Class::name[case]`` as pytest takes it."""
    module, _, name = test.partition("::")
    parts = module.split(".")
    return "::".join(("/".join(parts[:3]) + ".py", *parts[3:], name))


# ------------------------------------------------------------------------------------------- servers


@contextmanager
def _redis() -> Iterator[int]:
    """The port of a private Redis or Valkey; the suite takes no Unix socket."""
    directory, port = server_directory("suite"), free_port()
    process = ManagedProcess(
        Program(
            "Redis",
            [server_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)],
            directory / "output.log",
        )
    )
    try:
        with redis.Redis(port=port) as client:
            wait_until(lambda: _answers(client), what="Redis")
        yield port
    finally:
        process.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def _rabbit() -> Iterator[PrivateRabbit]:
    node = PrivateRabbit()
    try:
        node.await_ready()
        yield node
    finally:
        node.stop()


# --------------------------------------------------------------------------------------------- suite


def _fetch(directory: Path) -> None:
    """The suite of the installed version, without the library beside it, and its tools."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    release = f"celery=={version('celery')}"
    subprocess.run([*pip, "download", "--no-deps", "--no-binary", ":all:", "-d", str(directory), release], check=True)
    with tarfile.open(next(directory.glob("celery-*.tar.gz"))) as archive:
        archive.extractall(directory / "unpacked", filter="data")
    unpacked = next((directory / "unpacked").iterdir())
    shutil.copytree(unpacked / "t", directory / "suite" / "t", dirs_exist_ok=True)
    shutil.copy(unpacked / "pyproject.toml", directory / "suite")
    tools = ("--target", str(directory / "tools"), "--upgrade", "-r", str(_HERE / "requirements.txt"))
    subprocess.run([*pip, "install", "-c", str(_ROOT / "requirements-dev.lock"), *tools], check=True)


@contextmanager
def _temporary() -> Iterator[Path]:
    directory = server_directory("celery-suite")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# -------------------------------------------------------------------------------------------- report


def _report(broker: str, found: Comparison) -> int:
    passes = [sum(outcome == "passed" for outcome in run.values()) for run in (found.plain, found.ours)]
    print(f"\n{broker}: {len(found.plain)} tests; passed {passes[0]} without us ({found.seconds[0]:.0f} s), ", end="")
    print(f"{passes[1]} with us ({found.seconds[1]:.0f} s)")
    for difference in found.confirmed:
        reason = DIFFERENCES.get(difference.test, "NO REASON ON RECORD")
        print(f"  {difference.test}: {difference.plain} -> {difference.ours}\n    {reason}")
    for difference in found.unstable:
        print(f"  {difference.test}: {difference.plain} -> {difference.ours}, but not every time: unstable")
    return int(any(one.test not in DIFFERENCES for one in found.confirmed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.celery_suite.run", description=__doc__)
    parser.add_argument("--broker", nargs="+", choices=("redis", "rabbit"), default=["redis", "rabbit"])
    parser.add_argument("--short", action="store_true", help="a few minutes of it")
    parser.add_argument("--keep", type=Path, help="directory for the suite and its logs, which then stay")
    parser.add_argument("arguments", nargs="*", help="more arguments for pytest, after --")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The files that run the system elsewhere name images, programs, options and settings that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluxora_tasks.settings import Settings

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"


def services() -> dict[str, Any]:
    """The services, with ``${NAME:-default}`` replaced by the default."""
    text = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", COMPOSE.read_text())
    return dict(yaml.safe_load(text)["services"])


def ours() -> list[tuple[str, list[str]]]:
    """The command lines that run in our own image: commands and health checks."""
    lines = [(name, service["command"]) for name, service in services().items() if "build" in service]
    checks = [(name, service["healthcheck"]["test"]) for name, service in services().items() if "build" in service]
    return lines + [(name, command_of(check)) for name, check in checks if "celery" in " ".join(check)]


def command_of(check: list[str]) -> list[str]:
    return check[1].split() if check[0] == "CMD-SHELL" else check[1:]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_compose_file_follows_its_specification() -> None:
    """The schema of the Compose specification has no complaint."""
    answer = run("-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert answer.returncode == 0, answer.stdout


def test_every_service_has_a_health_check_and_knows_what_it_waits_for() -> None:
    """What is waited for is declared, and can be healthy."""
    declared = services()
    for name, service in declared.items():
        assert "healthcheck" in service, name
        assert set(service.get("depends_on", {})) <= set(declared), name


@pytest.mark.parametrize(("service", "command"), ours(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_and_option_exists(service: str, command: list[str]) -> None:
    """Each command answers --help, and the help has each option."""
    words = [word for word in command[3:] if not word.startswith("-")]
    subcommand = words[: 2 if words[0] in ("dead", "inspect") else 1]
    options = {word.partition("=")[0] for word in command[3:] if word.startswith("--")}
    assert command[:3] == ["celery", "-A", "workers.app"], service
    answer = run("-m", "celery", "-A", "workers.app", *subcommand, "--help")
    assert answer.returncode == 0, answer.stderr
    known = answer.stdout + (flower_options() if subcommand == ["flower"] else "")
    assert [option for option in options if option not in known] == []


def flower_options() -> str:
    """Flower's own options, which its --help leaves out."""
    code = "import flower.options; from tornado.options import options; print(*('--' + o for o in options))"
    return run("-c", code).stdout


def test_the_settings_of_the_services_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every FLUXORA_ variable is a field and has a value that the field takes; nothing embedded is used."""
    environments = [service["environment"] for service in services().values() if "build" in service]
    assert environments
    for environment in environments:
        for name, value in environment.items():
            assert name.removeprefix("FLUXORA_").lower() in {item.name for item in fields(Settings)}, name
            monkeypatch.setenv(name, value)
        assert not Settings().uses_embedded_store


def test_the_image_has_what_the_package_is_built_from() -> None:
    """Every file that the Dockerfile copies is there and not ignored."""
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in kept, name

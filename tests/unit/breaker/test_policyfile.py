"""Policies in a file, read again when it changes."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from fluxora_tasks.breaker.policyfile import EVERY, PolicyFile, read_policies
from fluxora_tasks.errors import ConfigurationError
from tests.unit.breaker.hands import Hour


def written(path: Path, cooldown: float, version: int = 0) -> Path:
    """A file that says so; two versions differ in their times, however coarse the file system's clock is."""
    path.write_text(json.dumps({"services": {"api": {"cooldown": cooldown}}}))
    os.utime(path, (version, version))
    return path


def cooldown(file: PolicyFile) -> float:
    return file.policies.of("api").cooldown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("policies.json", '{"services": {"api": {"cooldown": 7}}}'),
        ("policies", '{"services": {"api": {"cooldown": 7}}}'),
        ("policies.toml", "[services.api]\ncooldown = 7"),
        ("policies.toml", '[services."ap*"]\ncooldown = 7'),
    ],
)
def test_forms(tmp_path: Path, name: str, text: str) -> None:
    """TOML by its ending, everything else is JSON."""
    path = tmp_path / name
    path.write_text(text)
    assert read_policies(path).of("api").cooldown == 7.0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.json", None, "No such file"),
        ("broken.json", b"{", "Expecting property name"),
        ("broken.toml", b"= 1", "Invalid"),
        ("bytes.json", b"\xff\xfe", "codec can't decode"),
        ("unfit.json", b'{"services": {"api": {"window": 0}}}', "services.api: window is a number"),
    ],
)
def test_unfit(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    """Refused in one family of errors, with the path."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"{name}: .*{words}"):
        PolicyFile(path)


def test_a_change_is_seen_at_the_next_look(tmp_path: Path) -> None:
    """Not before, and once."""
    hour = Hour()
    file = PolicyFile(written(tmp_path / "policies.json", 7), hour)
    written(tmp_path / "policies.json", 8, version=1)
    hour.now += EVERY - 0.1
    assert (file.refresh(), cooldown(file)) == (False, 7.0)
    hour.now += 0.1
    assert (file.refresh(), cooldown(file)) == (True, 8.0)
    hour.now += EVERY
    assert not file.refresh()


def test_a_link_that_is_swapped_is_a_change(tmp_path: Path) -> None:
    """As a ConfigMap does it, where both files may have the same time and length."""
    hour, link = Hour(), tmp_path / "policies.json"
    link.symlink_to(written(tmp_path / "old", 7))
    file = PolicyFile(link, hour)
    (tmp_path / "next").symlink_to(written(tmp_path / "new", 8))
    (tmp_path / "next").replace(link)
    hour.now += EVERY
    assert (file.refresh(), cooldown(file)) == (True, 8.0)


@pytest.mark.parametrize("content", [None, "{", '{"services": {"api": {"cooldown": -1}}}'])
def test_a_version_that_does_not_work_changes_nothing(
    tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once where there is one; the next one that works is taken."""
    hour, path = Hour(), tmp_path / "policies.json"
    file = PolicyFile(written(path, 7), hour)
    path.unlink()
    if content is not None:
        path.write_text(content)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            hour.now += EVERY
            assert (file.refresh(), cooldown(file)) == (False, 7.0)
    assert len(caplog.records) == (content is not None)
    written(path, 8, version=2)
    hour.now += EVERY
    assert (file.refresh(), cooldown(file)) == (True, 8.0)

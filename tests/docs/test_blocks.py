"""The marks of documents, and the runner of what they mark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks_of, output_matches, scenarios_of, unmarked
from tests.docs.scenario import Scenario
from tests.waiting import wait_until

PAGE = """
# A page

<!-- test: start file=hello.py -->
```python
print("hello")
```

<!-- test: start until="hel lo" exit=3 -->

~~~bash
echo 1
~~~

<!-- test: none needs a terminal -->
```bash
vi
```

<!-- test: lost -->
A paragraph comes between.
```bash
echo unmarked
```

```text
a picture
```
"""


def test_marks_are_read() -> None:
    """Name, options and text of every block; a paragraph between parts a mark from its fence."""
    first, second, third, fourth, fifth = blocks_of(PAGE)
    assert first == Block(5, "python", 'print("hello")\n', "start", {"file": "hello.py"})
    assert (second.text, second.options) == ("echo 1\n", {"until": "hel lo", "exit": "3"})
    assert (third.scenario, fourth.scenario, fifth.scenario) == ("none", None, None)
    assert scenarios_of(PAGE) == {"start": [first, second]}
    assert unmarked(PAGE) == [fourth]


def test_a_slip_in_a_mark_is_an_error() -> None:
    """An option nobody knows is named, with its line."""
    with pytest.raises(ValueError, match=r"line 2: .*'utnil'"):
        blocks_of("<!-- test: x utnil=3 -->\n```bash\n```")


@pytest.mark.parametrize(
    ("expected", "printed", "matches"),
    [
        ("a\nb", "a\nx\nb\n", True),
        ("b\na", "a\nb\n", False),  # the order counts
        ("lost …", "lost   0\n", True),
        ("lost 0", "lost 01\n", False),  # whole lines
        ("…\nend", "x\ny\nend", True),
        ("took … s (…)", "took 3.2 s (two cores)", True),
    ],
)
def test_printed_lines_are_found(expected: str, printed: str, matches: bool) -> None:
    """Lines in their order, with a sign for what differs from run to run."""
    assert output_matches(expected, printed) is matches


def test_a_scenario_runs_as_a_reader_would(tmp_path: Path) -> None:
    """Files, scripts, what they print, and a program in the background that is ended afterwards."""
    Scenario(tmp_path).run(
        [
            Block(1, "python", "print('from a file')\n", "x", {"file": "deep/hello.py"}),
            Block(2, "bash", "echo $$ > pid; echo ready; exec sleep 600\n", "x", {"background": "ready"}),
            Block(3, "bash", "python deep/hello.py\n", "x"),
            Block(4, "text", "from …\n", "x", {"output": ""}),
            Block(5, "bash", "exit 4\n", "x", {"exit": "4"}),
            Block(6, "bash", "echo x >> grown; cat grown | wc -l\n", "x", {"until": "3"}),
        ]
    )
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the background program gone")


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (Block(7, "bash", "echo before; false; echo after\n", "x"), "line 7: ended with 1, not 0"),
        (Block(7, "bash", "false | true\n", "x"), "line 7"),
        (Block(7, "bash", "echo gone; exit 3\n", "x", {"background": "never"}), "ended with 3:\ngone"),
        (Block(7, "text", "nothing printed this\n", "x", {"output": ""}), "line 7"),
        (Block(7, "python", "print()\n", "x"), "need file= or output"),
    ],
)
def test_what_fails_is_named(tmp_path: Path, block: Block, says: str) -> None:
    """A failing line, also inside a pipe, fails the block, with its line and what it printed."""
    with pytest.raises(AssertionError, match=says):
        Scenario(tmp_path).run([block])


def test_settings_of_a_developer_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks see no FLUXORA_, CELERY_ or PYTHONPATH of whoever runs the tests."""
    monkeypatch.setitem(os.environ, "FLUXORA_BROKER_URL", "nonsense://")
    monkeypatch.setitem(os.environ, "PYTHONPATH", "/elsewhere")
    Scenario(tmp_path).run([Block(1, "bash", 'test -z "${FLUXORA_BROKER_URL-}${PYTHONPATH-}"\n', "x")])

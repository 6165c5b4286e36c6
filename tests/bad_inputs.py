"""The place in which bad inputs are tried: what lies there, and what every bad input must keep to."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from sample_runs import finished_run, flipped, latency
from written_runs import battles, write_run

from harness import cli
from harness.errors import run_command
from harness.sealed import seal

Row = tuple[int, str, str]
"""Exit code, command line as a shell reads it, regular expression of the message."""

PLAYERS = '''
import numpy as np

class Player:
    """Does what `answer` says."""
    def __init__(self, answer):
        self.answer = answer
    def act(self, view, memory, rng):
        return self.answer(view)

def first(view):
    return int(np.flatnonzero(view.available_actions)[0]), None

def bug(view):
    raise ZeroDivisionError("a bug")

def sound(spec, agent_index):
    return Player(first)
def raises(spec, agent_index):
    raise KeyError("weights")
def exits(spec, agent_index):
    raise SystemExit(0)
def returns_none(spec, agent_index):
    return None
def returns_a_number(spec, agent_index):
    return 7
def takes_nothing():
    return Player(first)
def acts_none(spec, agent_index):
    return Player(lambda view: None)
def acts_nan(spec, agent_index):
    return Player(lambda view: (float("nan"), None))
def acts_text(spec, agent_index):
    return Player(lambda view: ("left", None))
def acts_far(spec, agent_index):
    return Player(lambda view: (10**6, None))
def acts_bug(spec, agent_index):
    return Player(bug)
def many_lines(spec, agent_index):
    raise ValueError("one\\n\\x1b[31mtwo\\n" + "x" * 5000)
number = 7
'''

WORLDS = """
def none():
    return None
def number():
    return 7
def raises():
    raise KeyError("no game here")
def exits():
    raise SystemExit(3)
def takes(everything, it, likes):
    return None
class Nothing:
    pass
def many_lines():
    raise ValueError("one\\n\\x1b[31mtwo\\n" + "x" * 5000)
constant = 7
"""


def lay_out(place: Path) -> None:
    """Write the files that the command lines name."""
    (place / "folder" / "deep").mkdir(parents=True)
    (place / "folder" / "kept").write_text("kept")
    (place / "file").write_text("")
    (place / "text").write_text("some words\n" * 300)
    (place / "a name with spaces").write_text("kept")
    (place / "broken").symlink_to(place / "nowhere")
    (place / "round").symlink_to(place / "round")
    for name in ("text.h5", "text.safetensors", "text.csv"):
        (place / name).write_text("some words\n" * 300)
    for name in ("empty.h5", "empty.safetensors", "empty.py"):
        (place / name).write_bytes(b"")
    (place / "huge.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    (place / "players.py").write_text(PLAYERS)
    os.mkfifo(place / "pipe")
    (place / "worlds.py").write_text(WORLDS)
    (place / "syntax.py").write_text("def make(:\n")
    (place / "raises.py").write_text("raise RuntimeError('at import')\n")
    (place / "exits.py").write_text("raise SystemExit(0)\n")
    (place / "imports.py").write_text("import no_such_package\n")
    (place / "binary.py").write_bytes(b"\x00\xff\xfe\x00")
    (place / "folder.py").mkdir()
    (place / "folder.h5").mkdir()
    (place / "folder.safetensors").mkdir()
    _lay_out_runs(place / "runs")


def _lay_out_runs(runs: Path) -> None:
    write_run(runs / "a", battles([1, 0, 1, 1]))
    write_run(runs / "b", battles([0, 0, 1, 0]))
    write_run(runs / "8m", battles([0, 0, 1, 0]), scenario="8m-v1")
    write_run(runs / "unfinished", battles([1, 0]), planned=3)
    write_run(runs / "no-episode", [], planned=3)
    finished_run(runs / "whole", [1, 2], timed=latency())
    damaged = runs.parent / "damaged"
    for name in ("manifest.json", "summary.json", "episodes.jsonl", "latency.json"):
        file = finished_run(damaged / name.partition(".")[0], [1, 2], timed=latency()) / name
        file.write_bytes(flipped(file.read_bytes(), 8 * 40))
    (finished_run(damaged / "empty", [1, 2]) / "manifest.json").write_bytes(b"")
    (finished_run(damaged / "binary", [1, 2]) / "manifest.json").write_bytes(bytes(range(256)))
    (finished_run(damaged / "lost", [1, 2]) / "episodes.jsonl").write_bytes(b"")
    (finished_run(damaged / "no-manifest", [1, 2]) / "manifest.json").unlink()
    nested = finished_run(damaged / "nested", [1, 2]) / "manifest.json"
    nested.unlink()
    nested.mkdir()
    for name, changes in (("schema-1", {"schema_version": 1}), ("schema-99", {"schema_version": 99})):
        _rewrite(finished_run(damaged / name, [1, 2]) / "manifest.json", changes)
    _rewrite(finished_run(damaged / "no-config", [1, 2]) / "manifest.json", {"config": {}})
    _rewrite(finished_run(damaged / "odd-config", [1, 2]) / "manifest.json", {"config": 7})
    _rewrite(
        finished_run(damaged / "odd-seeds", [1, 2]) / "manifest.json", {"config": {"episode_seeds": None}}
    )
    _rewrite(finished_run(damaged / "odd-summary", [1, 2]) / "summary.json", {"episodes": "two"})


def _rewrite(file: Path, changes: dict[str, object]) -> None:
    """Change a file and seal it again, as another version of the program might have written it."""
    values = json.loads(file.read_bytes()) | changes
    values.pop("checksum", None)
    file.write_bytes(seal(values, indent=2))


def contents(place: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: bytes of files, targets of links, None for folders."""

    def below(folder: Path) -> Iterator[tuple[str, bytes | str | None]]:
        for path in sorted(folder.iterdir()):
            name = str(path.relative_to(place))
            if path.name == "__pycache__":
                continue
            if path.is_symlink():
                yield name, str(path.readlink())
            elif path.is_dir():
                yield name, None
                yield from below(path)
            elif path.is_fifo():
                yield name, "pipe"
            else:
                yield name, path.read_bytes()

    return dict(below(place))


def words(line: str) -> list[str]:
    """A command line as a shell splits it; `$NAME` stands for what cannot be written down well."""
    found = shlex.split(line)
    for name, value in sorted(HOSTILE.items(), reverse=True):  # LONG_PATH before LONG
        found = [word.replace(f"${name}", value) for word in found]
    return found


HOSTILE = {
    "LONG": "x" * 100_000,
    "LONG_PATH": "/".join(["y" * 200] * 60),
    "LINES": "one\ntwo\r\nharness: error: three",
    "ESCAPES": "\x1b[2J\x1b]0;title\x07\x08\x9b31m",
    "SURROGATE": "half \udcff",
    "RIGHT_TO_LEFT": "\u202egnp.exe\u2028",
    "DIGITS": "9" * 5000,
    "MANY": ",".join(["runs/a"] * 2000),
}
"""Words that a table cannot show."""


def run_here(arguments: Sequence[str]) -> int:
    return run_command(lambda: cli.run(list(arguments)))


def check_message(err: str, message: str) -> None:
    """One line of ours, the last, with at most warnings and progress before it, short, without control characters."""
    *before, last = err.splitlines()
    assert last.startswith("harness: error: "), err
    assert not any(line.startswith("harness: error") or "Traceback" in line for line in before), err
    assert "Traceback" not in last and "unexpected" not in last, last
    assert err.endswith("\n") and last.isprintable(), "a hostile word reaches the terminal as it is"
    assert len(last) < 500, f"{len(last)} characters"
    assert re.search(message, last), last

"""Every bad input to the command line: its exit code, its message, and that it leaves everything as it was.

The tables stand in `bad_inputs_*.py`; mistakes that need a dataset or a checkpoint are in test_cli_mistakes.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_inputs import Row, check_message, contents, lay_out, run_here, words
from bad_inputs_datasets import DATASETS
from bad_inputs_files import FILES, KEPT
from bad_inputs_options import OPTIONS
from bad_inputs_others import OTHERS
from bad_inputs_runs import ANSWERED, RUNS

from harness.commands.bench import _BENCHMARKS
from harness.errors import EXIT_CODES

PROJECT = Path(__file__).resolve().parents[1]
TABLE = [*OPTIONS, *FILES, *RUNS, *OTHERS, *DATASETS]
USER = "import sys; sys.path[0] = '/'; from harness.cli import main; main()"
"""As the console script starts it: the current folder is not searched for modules."""


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    lay_out(place)
    return place


@pytest.fixture
def place(laid_out: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place as the current folder; it must stay as it was, but for a run directory `kept`."""
    monkeypatch.chdir(laid_out)
    monkeypatch.setenv("HARNESS_DATASETS", str(laid_out / "datasets"))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    before = contents(laid_out)
    yield laid_out
    shutil.rmtree(laid_out / "kept", ignore_errors=True)
    assert contents(laid_out) == before, "a bad input leaves nothing behind and changes nothing"


def test_the_table_is_as_large_as_promised_and_says_everything_once() -> None:
    lines = [line for _, line, _ in [*TABLE, *KEPT]] + [line for _, line, *_ in ANSWERED]
    assert len(lines) >= 150 and len(set(lines)) == len(lines)
    assert {code for code, _, _ in TABLE} <= EXIT_CODES.keys() - {0, 1}


@pytest.mark.parametrize(("code", "line", "message"), TABLE, ids=[line for _, line, _ in TABLE])
def test_a_bad_input_is_one_line_and_an_exit_code(
    code: int, line: str, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(words(line)) == code
    out, err = capsys.readouterr()
    check_message(err, message)
    assert out == ""
    assert not (place / "kept").exists()


@pytest.mark.parametrize(("code", "line", "message"), KEPT, ids=[line.split()[4] for _, line, _ in KEPT])
def test_an_agent_that_fails_while_it_plays(
    code: int, line: str, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(words(line)) == code
    out, err = capsys.readouterr()
    check_message(err, message)
    assert out == "" and not (place / "kept" / "summary.json").exists()
    assert run_here(["rm", "kept", "--yes"]) == 0
    assert not (place / "kept").exists()


@pytest.mark.parametrize(
    ("code", "line", "message", "answer"), ANSWERED, ids=[line for _, line, *_ in ANSWERED]
)
def test_an_answer_that_is_a_failure_too(
    code: int, line: str, message: str, answer: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(words(line)) == code
    out, err = capsys.readouterr()
    check_message(err, message)
    assert re.search(answer, out)


IN_PROCESSES: list[Row] = [
    (2, "$LONG", r"unknown command 'x+\.\.\.x+': known: assert"),
    (2, "$ESCAPES", r"unknown command ' \[2J"),
    (3, "ls maps $LINES", r"unknown map, family or layout 'one two  harness: error: three'"),
    (3, "show run $SURROGATE", r"half +is not a run directory"),
    (6, "datasets show $LONG_PATH", r"y+\.\.\.y+ is too long for this system; give a shorter path"),
    (5, "show run damaged/binary", r"damaged/binary/manifest\.json is damaged"),
    (13, "check adapter --map worlds.py:exits", r"'worlds\.py:exits' cannot be made: SystemExit: 3"),
    (3, "evaluate --map $RIGHT_TO_LEFT", r"unknown map ' gnp\.exe '"),
    (2, "evaluate --map 3m --out ''", r"--out is empty; leave it out"),
]


def started(line: str, place: Path, **streams: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", USER, *words(line)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    surroundings = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        command, cwd=place, env=surroundings, text=True, timeout=120, check=False, **streams
    )  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(("code", "line", "message"), IN_PROCESSES, ids=[line for _, line, _ in IN_PROCESSES])
def test_the_same_in_a_process_of_its_own(code: int, line: str, message: str, place: Path) -> None:
    answer = started(line, place)
    assert answer.returncode == code, answer.stderr
    assert answer.stdout == "" and len(answer.stderr.splitlines()) == 1
    check_message(answer.stderr, message)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs a full device")
def test_a_full_disk_behind_standard_output_or_error(place: Path) -> None:
    with Path("/dev/full").open("w") as full:
        answer = started("ls agents", place, stdout=full.fileno())
        assert answer.returncode == 7
        assert answer.stderr == "harness: error: no space left for standard output; free the place\n"
        answer = started("ls everything", place, stderr=full.fileno())
        assert (answer.returncode, answer.stdout) == (2, "")


def test_closed_streams_change_nothing_but_what_is_seen(place: Path) -> None:
    command = f'{sys.executable} -c "{USER}" ls '
    for rest, code, seen in (("agents >&-", 0, ""), ("everything 2>&-", 2, ""), ("agents 2>&-", 0, "vgm2p")):
        answer = subprocess.run(
            ["sh", "-c", command + rest],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert answer.returncode == code and answer.stderr == ""
        assert seen in answer.stdout and bool(seen) == bool(answer.stdout)


def test_a_file_of_the_name_of_a_package_is_no_package_to_workers(tmp_path: Path) -> None:
    """A user's agents.py in the current folder must not stand in for the project's package `agents`."""
    lay_out(tmp_path)
    (tmp_path / "agents.py").write_text("from players import sound as make\n")
    answer = started(
        "evaluate --map 3m --agent agents.py:make --episodes 1 --video 0 --latency none --out kept", tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    assert "agents.py:make (code)" in answer.stdout


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the rights of files do not bind root")
def test_missing_rights(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = tmp_path / "locked"
    lay_out(locked)
    (locked / "runs" / "a" / "manifest.json").chmod(0)
    locked.chmod(0o555)
    try:
        rows = [
            (5, f"show run {locked}/runs/a", "Permission denied; check its type and rights"),
            (7, f"evaluate --map 3m --agent random --out {locked}/new", "cannot write .*Permission denied"),
            (7, f"leaderboard runs --csv {locked}/table.csv", "cannot write .*Permission denied"),
        ]
        for code, line, message in rows:
            assert run_here(words(line)) == code
            check_message(capsys.readouterr().err, message)
    finally:
        locked.chmod(0o755)


ACTIONS = ("ls", "show", "fetch", "verify", "describe", "convert", "rm")
HELP = [
    "check leak",
    "check adapter",
    *(f"datasets {action}" for action in ACTIONS),
    *(f"bench {name}" for name in _BENCHMARKS),
]


@pytest.mark.parametrize("command", HELP)
def test_help_of_what_stands_below_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for asked in ("--help", "-h"):
        assert run_here([*command.split(), asked]) == 0
        out, err = capsys.readouterr()
        assert out.startswith(f"usage: harness {command} ") and err == "" and "None" not in out


def test_help_and_version_of_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for asked in ("--help", "-h", "help"):
        assert run_here([asked]) == 0
        assert capsys.readouterr().out.startswith("harness ")
    for asked in ("--version", "-V"):
        assert run_here([asked]) == 0
        assert re.fullmatch(r"\d\S+\n", capsys.readouterr().out)
    assert run_here([]) == 2
    assert "usage: harness COMMAND" in capsys.readouterr().out

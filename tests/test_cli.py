"""The command line as a user meets it: real processes, their output, their files, their exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from imageio_ffmpeg import count_frames_and_secs

from agents.checkpoints import load_checkpoint
from harness import cli
from harness.records import load_run

PROJECT = Path(__file__).resolve().parents[1]
TIMES = ("action_p50_us", "action_p90_us", "checksum")


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PROJECT), "COLUMNS": "80"}


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment(), stdout=pipe, stderr=pipe, text=True)


def harness(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def succeeds(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    answer = harness(*arguments, cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    assert "error" not in answer.stderr and "Traceback" not in answer.stderr
    return answer


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """A command that succeeds, in this process and for a fraction of the time; returns what it printed."""

    def run(*arguments: str) -> tuple[str, str]:
        monkeypatch.chdir(tmp_path)
        assert cli.run(list(arguments)) == 0
        return capsys.readouterr()

    return run


def episode_lines(run: Path) -> list[str]:
    return sorted((run / "episodes.jsonl").read_text().splitlines())


def summary(run: Path) -> dict[str, object]:
    """The summary without what the clock decides."""
    return {
        key: value
        for key, value in json.loads((run / "summary.json").read_text()).items()
        if key not in TIMES
    }


def printed(label: str, text: str) -> list[str]:
    """What stands behind a label at the end of `harness evaluate`."""
    return re.findall(rf"^{label} +(.+)$", text, re.MULTILINE)


QUESTION = ("evaluate", "--map", "3m", "--agent", "random", "--episodes", "200", "--video", "0")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    succeeds(*QUESTION, "--out", "run", cwd=folder)
    return folder / "run"


def test_help_lists_every_command_and_each_has_its_own(tmp_path: Path) -> None:
    answer = succeeds("--help", cwd=tmp_path)
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} +\w", answer.stdout, re.MULTILINE)
    assert harness(cwd=tmp_path).returncode == 2, "no command at all"
    assert re.fullmatch(r"\d\S+\n", succeeds("--version", cwd=tmp_path).stdout)
    assert "--episodes INT" in succeeds("evaluate", "--help", cwd=tmp_path).stdout


def test_evaluate_from_nothing_to_leaderboard(tmp_path: Path, here: Callable[..., tuple[str, str]]) -> None:
    question = ("evaluate", "--map", "3m", "--agent", "nearest", "--episodes", "4", "--video", "1")
    first = succeeds(*question, cwd=tmp_path)
    header, row, *_ = first.stdout.splitlines()
    assert header.startswith("scenario  agent") and "win rate [95 %]" in header and "p50 / p90" in header
    assert re.match(
        r"3m-v1 +nearest \(greedy\) +smac-v1 +embedded-sc2/2 +4 +-?\d+\.\d+ \[-?\d+\.\d+, \d+\.\d+\] +\d+% \[",
        row,
    )
    (path,), (film,), (board,) = (printed(label, first.stdout) for label in ("run", "film", "leaderboard"))
    assert first.stdout.splitlines()[-1].startswith("next: harness ")
    assert "playing 4 episodes of 3m-v1 on embedded-sc2/2" in first.stderr

    run = load_run(tmp_path / path)
    filmed = next(record for record in run.episodes if str(record.episode_seed) in film)
    assert count_frames_and_secs(str(tmp_path / film))[0] > filmed.length
    (stored,) = csv.DictReader((tmp_path / board).open(encoding="utf-8"))
    assert run.summary is not None and stored["run"] == path
    assert float(stored["return_mean"]) == run.summary.return_mean
    assert int(stored["episodes"]) == len(run.episodes) == 4
    assert float(stored["win_rate"]) == sum(bool(record.won) for record in run.episodes) / 4

    before = (tmp_path / path / "episodes.jsonl").read_bytes()
    second = succeeds(*question, cwd=tmp_path)
    assert "everything was there already" in second.stdout and "playing" not in second.stderr
    assert second.stdout.splitlines()[:2] == [header, row]
    third = succeeds(*question, "--fresh", cwd=tmp_path)
    assert "playing 4 episodes" in third.stderr
    assert (tmp_path / path / "episodes.jsonl").read_bytes() == before

    table, _ = here("leaderboard", "--csv", "table.csv")
    assert "nearest" in table and "written to table.csv" in table
    assert (tmp_path / "table.csv").read_bytes() == (tmp_path / board).read_bytes()
    listed, _ = here("ls", "runs")
    assert re.search(rf"^{re.escape(path)} +3m-v1 +smac-v1 +nearest +4 of 4 +finished$", listed, re.MULTILINE)


def test_from_data_to_a_leaderboard_row(tmp_path: Path, here: Callable[..., tuple[str, str]]) -> None:
    recorded = succeeds(
        *("collect", "--map", "3m-v1", "--agent", "random", "--transitions", "500", "--out", "data/a.h5"),
        cwd=tmp_path,
    )
    assert re.match(r"data/a\.h5: 5\d\d transitions in \d+ episodes, return ", recorded.stdout)
    digest = re.findall(r"^sha256 (\w{64})$", recorded.stdout, re.MULTILINE)
    shown, _ = here("datasets", "show", "data/a.h5")
    assert digest[0] in shown and "behaviour random" in shown
    assert "data/a.h5" in here("ls", "datasets")[0]

    training = (
        "train",
        "--agent",
        "vgm2p",
        "--dataset",
        "data/a.h5",
        "--steps",
        "20",
        "--hidden",
        "16",
        "16",
    )
    trained = succeeds(*training, cwd=tmp_path)
    assert trained.stdout.splitlines()[0] == "runs/train/a-vgm2p-s0/checkpoint.safetensors"
    assert "step 20/20" in trained.stderr
    file = tmp_path / trained.stdout.splitlines()[0]
    before = file.read_bytes()
    assert "continuing runs/train/a-vgm2p-s0 at step 20" in here(*training)[1]
    assert file.read_bytes() == before

    question = trained.stdout.splitlines()[-1].removeprefix("next: harness ").split()
    assert question[:3] == ["evaluate", "--map", "3m"]
    played = succeeds(*question, "--episodes", "2", "--video", "0", cwd=tmp_path)
    (path,) = printed("run", played.stdout)
    assert summary(tmp_path / path)["dataset"] == "a" and printed("film", played.stdout) == []
    here("leaderboard", "--csv", "table.csv")
    (row,) = csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8"))
    assert (row["agent"], row["dataset"], row["training_seed"]) == ("vgm2p", "a", "0")


def test_ppo_trains_and_keeps_checkpoints(here: Callable[..., tuple[str, str]]) -> None:
    line = "train --agent ppo --map 3m --steps 64 --checkpoint-every 32 --n-games 4 --horizon 8 --epochs 1 --hidden 8"
    out, err = here(*line.split())
    folder = Path("runs/train/3m-ppo-s0")
    assert out.splitlines()[0] == str(folder / "checkpoint.safetensors")
    steps = [load_checkpoint(path).provenance["steps"] for path in sorted(folder.glob("step-*.safetensors"))]
    assert steps == [32, 64] and "step 64/64" in err
    team = load_checkpoint(folder / "checkpoint.safetensors")
    assert (team.agent.spec.scenario, team.provenance["seed"]) == ("3m-v1", 0)


@pytest.mark.parametrize("n_games", ["1", "3", "8"])
def test_results_do_not_depend_on_n_games(
    n_games: str, uninterrupted: Path, here: Callable[..., tuple[str, str]]
) -> None:
    here(*QUESTION, "--out", "run", "--n-games", n_games)
    assert episode_lines(Path("run")) == episode_lines(uninterrupted)
    assert summary(Path("run")) == summary(uninterrupted)


def test_a_terminal_without_our_characters_still_gets_its_table(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "train", "--agent", "vgm2p", "--help"]
    ascii_only = environment() | {"PYTHONIOENCODING": "ascii"}
    answer = subprocess.run(command, cwd=tmp_path, env=ascii_only, capture_output=True, text=True)
    assert answer.returncode == 0 and answer.stderr == ""
    assert "? (Table 3)" in answer.stdout


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_an_evaluation_survives_being_stopped(
    uninterrupted: Path, tmp_path: Path, blow: signal.Signals
) -> None:
    process = start(*QUESTION, "--out", "run", "--n-games", "1", cwd=tmp_path)
    log = tmp_path / "run" / "episodes.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_bytes().count(b"\n") >= 5):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(blow)
    _, err = process.communicate(timeout=60)
    if blow is signal.SIGINT:
        assert process.returncode == 130 and "Traceback" not in err
        assert re.fullmatch(
            r"harness: interrupted; (.*the same command continues|.* episodes are kept; continue with: harness evaluate .*).*",
            err.splitlines()[-1],
        )
    assert 4 <= log.read_bytes().count(b"\n") < 200, "in the middle; the line being written may be taken back"
    assert "unfinished" in succeeds("ls", "runs", "--folder", ".", cwd=tmp_path).stdout
    resumed = succeeds(*QUESTION, "--out", "run", "--n-games", "8", cwd=tmp_path)
    assert re.search(r"playing \d+ episodes .* \(\d+ of 200 are there already\)", resumed.stderr)
    assert episode_lines(tmp_path / "run") == episode_lines(uninterrupted)
    assert summary(tmp_path / "run") == summary(uninterrupted)


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = ['harness', *{arguments!r}]
from harness.cli import main
main()
"""


def blocked(package: str, arguments: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as if a package were not installed."""
    code = BLOCKED.format(package=package, arguments=list(arguments))
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("package", "name"),
    [("mujoco", "6halfcheetah"), ("gymnasium_robotics", "ant_4x2")],
)
def test_a_missing_extra_says_what_to_install(package: str, name: str, tmp_path: Path) -> None:
    answer = blocked(package, ["evaluate", "--map", name, "--agent", "random"], tmp_path)
    assert answer.returncode == 8
    assert answer.stderr == (
        f"harness: error: map '{name}' needs an optional package; "
        "install it with: pip install 'marl-harness[mujoco]'\n"
    )
    assert not (tmp_path / "runs").exists()


def test_a_missing_extra_does_not_hinder_anything_else(tmp_path: Path) -> None:
    maps = blocked("mujoco", ["ls", "maps"], tmp_path)
    assert maps.returncode == 0 and "6halfcheetah" in maps.stdout
    assert blocked("mujoco", ["doctor"], tmp_path).returncode == 0

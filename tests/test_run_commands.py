"""Commands that read run directories: verify, diff, show, rm, ls runs; and what they say of a run that was tampered with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from env_adapters.errors import CheckFailedError, RunConflictError, UnknownNameError, UsageError
from harness.cli import run
from harness.evaluate import evaluate
from harness.options import EvaluateConfig
from harness.records import load_run
from harness.run_directory import RunDirectory
from harness.sealed import read_sealed, seal


def play(out: Path, **options: Any) -> Path:
    settings: dict[str, Any] = dict(agent="random", episodes=6, video=0, workers=0, latency="none")
    return evaluate(EvaluateConfig("3m", out=out, **{**settings, **options})).path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("runs") / "a")


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "a"))


def rewrite(path: Path, **changes: Any) -> None:
    """Change an object and seal it again, as somebody would who wants a better number."""
    values = read_sealed(path)
    assert values is not None
    path.write_bytes(seal({**values, **changes}, indent=2))


def test_a_sound_run_is_verified(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(original), "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 took the same course" in out and "WRONG" not in out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"win_rate": 0.9}, "does not follow from the records: win_rate"),
        ({"return_mean": 19.0, "wins": 6}, "return_mean, wins"),
        ({"agent_hash": "00" * 32}, "agent_hash"),
        ({"videos": ["videos/none.mp4"]}, "missing: videos/none.mp4"),
    ],
)
def test_an_embellished_summary_is_found(
    copy: Path, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(copy / "summary.json", **changes)
    with pytest.raises(CheckFailedError, match="not what it claims to be"):
        run(["verify", str(copy), "--episodes", "1"])
    assert words in capsys.readouterr().out


def test_an_episode_that_was_not_played_like_this_is_found(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records that are consistent with each other and with the summary, but that nobody played."""
    lines = (copy / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    first = load_run(copy).episodes[0]
    (copy / "episodes.jsonl").write_bytes(seal(vars(replace(first, won=not first.won))) + b"".join(lines[1:]))
    (copy / "summary.json").unlink()
    play(copy)
    with pytest.raises(CheckFailedError, match="played again"):
        run(["verify", str(copy), "--episodes", "6"])
    assert "5 of 6 took the same course" in capsys.readouterr().out


def test_other_weights_are_found_and_moved_ones_can_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from agents import zoo

    weights = tmp_path / "weights.safetensors"
    shutil.copyfile(zoo.find("5m_vs_6m", "vgm2p"), weights)
    question = EvaluateConfig(
        "5m_vs_6m", checkpoint=weights, episodes=1, video=0, workers=0, latency="none", out=tmp_path / "run"
    )
    evaluate(question)
    moved = weights.rename(tmp_path / "moved.safetensors")
    assert run(["verify", str(tmp_path / "run")]) == 0
    assert "name the file with --checkpoint" in capsys.readouterr().out
    assert run(["verify", str(tmp_path / "run"), "--checkpoint", str(moved)]) == 0
    assert "1 of 1 took the same course" in capsys.readouterr().out
    shutil.copyfile(zoo.find("5m_vs_6m", "ppo-good"), weights)
    with pytest.raises(CheckFailedError, match="team"):
        run(["verify", str(tmp_path / "run")])


def test_diff_names_what_changed_and_which_episodes_flipped(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = play(tmp_path / "b", agent="nearest", episodes=8)
    assert run(["diff", str(original), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    ours, theirs = ({r.episode_seed: r for r in load_run(path).episodes} for path in (original, other))
    flipped = [seed for seed in ours if ours[seed].won != theirs[seed].won]
    assert [pair[0]["episode_seed"] for pair in found["flipped"]] == flipped and flipped
    assert {difference[0] for difference in found["question"]} >= {"agent", "agent_hash", "act_mode"}
    assert (found["n_common"], found["n_same"], found["only"]) == (6, 0, [0, 2])
    assert run(["diff", str(original), str(original)]) == 0
    out = capsys.readouterr().out
    assert "question: the same" in out and "6 of them alike to the last bit, 0 flipped" in out


def test_show_prints_everything_once(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "run", str(original), "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    record = load_run(original).episodes[0]
    assert f"{record.episode_seed}" in out and "packages.numpy" in out and "... and 4 more" in out
    assert run(["show", "run", str(original), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["episodes"]) == 6 and shown["summary"]["episodes"] == 6
    assert shown["config"]["scenario"] == "3m-v1" and shown["source"]["map"] == "3m"


def test_rm_deletes_runs_and_nothing_else(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="add --yes"):
        run(["rm", str(copy)])
    assert (copy / "summary.json").is_file() and "files" in capsys.readouterr().out
    with pytest.raises(UnknownNameError, match="nothing was deleted"):
        run(["rm", str(copy), str(copy.parent), "--yes"])
    with (
        RunDirectory.open(copy, {"config": load_run(copy).manifest["config"]}),
        pytest.raises(RunConflictError, match="another process"),
    ):
        run(["rm", str(copy), "--yes"])
    assert run(["rm", str(copy), "--yes"]) == 0
    assert [path.name for path in copy.iterdir()] == ["notes.txt"]


def test_ls_runs_knows_what_is_running(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> str:
        assert run(["ls", "runs", "--folder", str(copy.parent)]) == 0
        return capsys.readouterr().out.splitlines()[1].split()[-1]

    assert state() == "finished"
    (copy / "summary.json").unlink()
    assert state() == "unfinished"
    with RunDirectory.open(copy, {"config": load_run(copy).manifest["config"]}):
        assert state() == "running"

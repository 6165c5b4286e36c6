"""The run directory: what is written when, resuming, conflicts, reading."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from sample_runs import finished_run, manifest, record, summary

from env_adapters.errors import (
    InvalidValueError,
    OutputError,
    RunConflictError,
)
from env_adapters.files import write_atomic
from env_adapters.rollout import Episode
from harness.records import find_runs, load_run
from harness.run_directory import RunDirectory
from harness.schema import EpisodeRecord


def test_manifest_is_on_disk_before_the_first_episode_and_summary_comes_last(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path / "run", manifest([3, 1])) as run:
        assert json.loads((run.path / "manifest.json").read_text())["config"]["episode_seeds"] == [3, 1]
        assert (run.path / "episodes.jsonl").read_bytes() == b""
        run.append(record(1))
        assert json.loads((run.path / "episodes.jsonl").read_text())["final_hash"] == record(1).final_hash
        with pytest.raises(ValueError, match="1 of 2 finished"):
            run.finish(summary(2))
        run.append(record(3))
        with pytest.raises(ValueError, match="summary of 3 episodes"):
            run.finish(summary(3))
        run.finish(summary(2))
    loaded = load_run(run.path)
    assert loaded.episodes == [record(3), record(1)], "in the order requested, not in that of completion"
    assert loaded.summary == summary(2)


def test_record_of_an_episode_and_its_invariants() -> None:
    episode = Episode(seed=4, rewards=[0.5, 0.25], terminated=True, won=False, final_hash="00")
    made = EpisodeRecord.of(episode)
    assert (made.episode_return, made.length, made.won, made.error) == (0.75, 2, False, None)
    with pytest.raises(InvalidValueError, match="episode 4"):
        dataclasses.replace(made, length=3)
    with pytest.raises(InvalidValueError, match="episode 4"):
        dataclasses.replace(made, episode_return=0.76)
    with pytest.raises(InvalidValueError, match="not finite"):
        EpisodeRecord.of(Episode(seed=4, rewards=[float("nan")]))


def test_equal_episodes_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (finished_run(tmp_path / name, [5, 6]) for name in ("a", "b"))
    for name in ("episodes.jsonl", "summary.json", "manifest.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_same_command_resumes_and_keeps_the_first_passport(tmp_path: Path) -> None:
    seeds = [1, 2, 3, 4]
    with RunDirectory.open(tmp_path, manifest(seeds)) as run:
        run.append(record(3))
    again = manifest(seeds)
    again["passport"] = {"python": "3.13"}
    with RunDirectory.open(tmp_path, again) as run:
        assert run.missing(seeds) == [1, 2, 4]
        assert run.manifest["passport"] == manifest(seeds)["passport"]
        with pytest.raises(ValueError, match="episode 3 is already"):
            run.append(record(3))
        with pytest.raises(ValueError, match=r"episode 9 .* not requested"):
            run.append(record(9))


def test_another_config_is_a_conflict_that_names_what_differs(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path, manifest([1], agent="bc", act={"steps": 10, "exact": True})).close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunConflictError) as caught:
        RunDirectory.open(tmp_path, manifest([1], agent="vgm2p", act={"steps": 5, "exact": True}))
    message = str(caught.value)
    assert 'agent "bc" -> "vgm2p", act.steps 10 -> 5)' in message
    assert "--out" in message and "--fresh" in message and "\n" not in message and "exact" not in message
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_conflict_over_many_long_values_stays_one_short_line(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path, manifest(list(range(500)))).close()
    with pytest.raises(RunConflictError, match="and 2 more") as caught:
        RunDirectory.open(tmp_path, manifest([1], a=1, b=2, c=3, d=4))
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_fresh_forgets_the_old_run_and_nothing_else(tmp_path: Path) -> None:
    finished_run(tmp_path, [1, 2])
    (tmp_path / "notes.txt").write_text("mine")
    with RunDirectory.open(tmp_path, manifest([7], agent="other"), fresh=True) as run:
        assert run.missing([7]) == [7]
    loaded = load_run(tmp_path)
    assert (loaded.episodes, loaded.summary) == ([], None)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_second_writer_is_kept_out(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (
        RunDirectory.open(tmp_path, manifest([1])),
        pytest.raises(RunConflictError, match="another process"),
    ):
        RunDirectory.open(tmp_path, manifest([1]), fresh=True)
    RunDirectory.open(tmp_path, manifest([1])).close()


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        RunDirectory.open(tmp_path / "file", manifest([1]))
    with pytest.raises(OutputError, match="cannot write"):
        RunDirectory.open(tmp_path / "file" / "below", manifest([1]))
    with pytest.raises(OutputError, match="cannot write"):
        write_atomic(tmp_path / "nowhere" / "x", b"")


def test_find_runs_lists_runs_and_only_runs(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text("{}")
    wanted = [finished_run(tmp_path / "a" / "deep", [1]), finished_run(tmp_path / "b", [1])]
    assert find_runs(tmp_path) == wanted
    assert find_runs(tmp_path / "b") == [tmp_path / "b"]
    assert find_runs(tmp_path / "missing") == []

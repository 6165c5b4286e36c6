"""The run directory under crashes and damage: no finished episode lost, no wrong number read."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sample_runs import finished_run, flipped, manifest, record, summary

from env_adapters.errors import (
    CorruptFileError,
    MismatchError,
    OutputError,
    UnknownNameError,
)
from harness.records import load_run
from harness.run_directory import RunDirectory
from harness.sealed import seal

PROJECT = Path(__file__).resolve().parents[1]


def test_truncation_at_every_byte_keeps_whole_lines_and_drops_the_torn_one(tmp_path: Path) -> None:
    seeds = [1, 2, 3]
    with RunDirectory.open(tmp_path, manifest(seeds)) as run:
        for seed in seeds:
            run.append(record(seed))
    log = tmp_path / "episodes.jsonl"
    whole = log.read_bytes()
    for length in range(len(whole) + 1):
        log.write_bytes(whole[:length])
        survivors = [record(seed) for seed in seeds[: whole[:length].count(b"\n")]]
        assert load_run(tmp_path).episodes == survivors
        with RunDirectory.open(tmp_path, manifest(seeds)) as run:
            assert list(run.finished.values()) == survivors
            assert run.dropped_bytes == length - log.stat().st_size


@pytest.mark.parametrize("lost_bytes", [1, 30, 150, 300])
def test_a_torn_run_that_is_resumed_gives_the_same_bytes(tmp_path: Path, lost_bytes: int) -> None:
    whole = (finished_run(tmp_path, [1, 2, 3]) / "episodes.jsonl").read_bytes()
    (tmp_path / "episodes.jsonl").write_bytes(whole[:-lost_bytes])
    with RunDirectory.open(tmp_path, manifest([1, 2, 3])) as run:
        for seed in run.missing([1, 2, 3]):
            run.append(record(seed))
    assert (tmp_path / "episodes.jsonl").read_bytes() == whole


def test_a_tail_of_zeros_left_by_a_power_cut_is_dropped(tmp_path: Path) -> None:
    finished_run(tmp_path, [1])
    (tmp_path / "summary.json").unlink()
    with (tmp_path / "episodes.jsonl").open("ab") as file:
        file.write(bytes(4096))
    with RunDirectory.open(tmp_path, manifest([1])) as run:
        assert (run.dropped_bytes, list(run.finished)) == (4096, [1])


def test_a_damaged_last_line_of_an_unfinished_run_is_played_again(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path, manifest([1, 2, 3])) as run:
        run.append(record(1))
        run.append(record(2))
    log = tmp_path / "episodes.jsonl"
    log.write_bytes(log.read_bytes()[:-20] + b"0" * 19 + b"\n")
    assert load_run(tmp_path).episodes == [record(1)]
    with RunDirectory.open(tmp_path, manifest([1, 2, 3])) as run:
        assert run.missing([1, 2, 3]) == [2, 3]


def test_temporary_files_of_a_killed_process_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".summary.json.0a1b2c3d.tmp").write_text("{")
    RunDirectory.open(tmp_path, manifest([1])).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["episodes.jsonl", "manifest.json"]


@pytest.mark.parametrize("name", ["manifest.json", "episodes.jsonl", "summary.json"])
def test_a_flipped_bit_of_a_finished_run_is_detected_and_named(tmp_path: Path, name: str) -> None:
    path = finished_run(tmp_path, [1, 2]) / name
    whole = path.read_bytes()
    last_newline = 8 * len(whole) - 7
    for bit in [*range(0, 8 * len(whole), 37), last_newline]:
        path.write_bytes(flipped(whole, bit))
        with pytest.raises(CorruptFileError, match=name):
            load_run(tmp_path)


def test_damage_names_file_and_line_and_is_never_repaired_silently(tmp_path: Path) -> None:
    finished_run(tmp_path, [1, 2, 3])
    log = tmp_path / "episodes.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[1].replace(b"true", b"frue") + lines[2])
    for opening in (lambda: load_run(tmp_path), lambda: RunDirectory.open(tmp_path, manifest([1, 2, 3]))):
        with pytest.raises(CorruptFileError, match=r"episodes\.jsonl line 2 is damaged"):
            opening()
    log.write_bytes(lines[0] + lines[0] + lines[2])
    with pytest.raises(CorruptFileError, match="line 2 repeats episode 1"):
        load_run(tmp_path)


def test_a_finished_run_that_lost_its_last_line_is_repaired_by_running_again(tmp_path: Path) -> None:
    finished_run(tmp_path, [1, 2])
    log = tmp_path / "episodes.jsonl"
    log.write_bytes(log.read_bytes()[:-1])
    with pytest.raises(CorruptFileError, match="1 of 2 episodes"):
        load_run(tmp_path)
    with RunDirectory.open(tmp_path, manifest([1, 2])) as run:
        assert run.missing([1, 2]) == [2]
    assert load_run(tmp_path).summary is None, "a summary never outlives the episodes it was made from"


def test_valid_seals_around_other_content_are_refused(tmp_path: Path) -> None:
    finished_run(tmp_path, [1])
    log = (tmp_path / "episodes.jsonl").read_bytes()
    (tmp_path / "episodes.jsonl").write_bytes(seal({"episode_seed": 1}))
    with pytest.raises(CorruptFileError, match="line 1 is not an episode record"):
        load_run(tmp_path)
    (tmp_path / "episodes.jsonl").write_bytes(log)
    (tmp_path / "summary.json").write_bytes(seal({"score": 1}))
    with pytest.raises(CorruptFileError, match=r"not the summary of a run: it lacks act_mode \(and"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_bytes(seal({"schema_version": 2, "config": {}}))
    with pytest.raises(CorruptFileError, match="not the manifest of a run"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_bytes(seal({"schema_version": 1, "config": {}}))
    with pytest.raises(MismatchError, match="schema 1"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(CorruptFileError, match=r"episodes but no manifest\.json"):
        RunDirectory.open(tmp_path, manifest([1]))
    with pytest.raises(UnknownNameError, match="not a run directory"):
        load_run(tmp_path)


WRITER = """
import json, sys
from pathlib import Path
from harness.run_directory import RunDirectory
from harness.schema import EpisodeRecord
plan = json.loads(Path(sys.argv[1]).read_text())
with RunDirectory.open(Path(sys.argv[2]), plan["manifest"]) as run:
    for values in plan["records"]:
        if run.missing([values["episode_seed"]]):
            run.append(EpisodeRecord(**values))
            print(values["episode_seed"], flush=True)
"""


def reports_until_killed(plan: Path, run: Path, n_lines: int, delay_s: float) -> set[int]:
    """Start a writer, kill it some time after it has reported `n_lines` episodes; all that it reported."""
    command = [sys.executable, "-c", WRITER, str(plan), str(run)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(n_lines)]
        time.sleep(delay_s)
        writer.kill()
        return {int(line) for line in [*lines, *writer.stdout] if line}


def test_kill_9_at_random_instants_loses_no_finished_episode(tmp_path: Path) -> None:
    seeds = list(range(250))
    plan, run = tmp_path / "plan.json", tmp_path / "run"
    records = [dataclasses.asdict(record(seed)) for seed in seeds]
    plan.write_text(json.dumps({"manifest": manifest(seeds), "records": records}))
    reported: set[int] = set()
    rng = np.random.default_rng(0)
    for n_lines in [*[0] * 15, *rng.integers(0, 12, size=15)]:
        delay_s = (
            float(rng.uniform(0.03, 0.06)) if n_lines == 0 else 0.0
        )  # around start and manifest, or at work
        reported |= reports_until_killed(plan, run, int(n_lines), delay_s)
        if reported:
            assert reported <= {episode.episode_seed for episode in load_run(run).episodes}
    assert len(reported) > 50, "the writers must have been killed at work"
    with RunDirectory.open(run, manifest(seeds)) as directory:
        for seed in directory.missing(seeds):
            directory.append(record(seed))
        directory.finish(summary(250))
    undisturbed = finished_run(tmp_path / "undisturbed", seeds)
    for name in ("manifest.json", "episodes.jsonl", "summary.json"):
        assert (run / name).read_bytes() == (undisturbed / name).read_bytes()
    assert sorted(path.name for path in run.iterdir()) == ["episodes.jsonl", "manifest.json", "summary.json"]


def test_full_disk_stops_with_a_typed_error_and_the_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write

    def half_then_full(fd: int, data: memoryview) -> int:
        if len(data) > 100:
            return real_write(fd, data[:50])
        raise OSError(28, "No space left on device")

    with RunDirectory.open(tmp_path, manifest([1, 2])) as run:
        run.append(record(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half_then_full)
            with pytest.raises(OutputError, match=r"episodes\.jsonl: No space left on device"):
                run.append(record(2))
        run.append(record(2))
    assert load_run(tmp_path).episodes == [record(1), record(2)]

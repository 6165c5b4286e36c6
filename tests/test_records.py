"""The run directory: crashes, damage, conflicts. A finished episode is never lost and a wrong number never read."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_adapters.errors import (
    CorruptFileError,
    InvalidValueError,
    MismatchError,
    OutputError,
    RunConflictError,
    UnknownNameError,
)
from env_adapters.rollout import Episode
from harness.records import EpisodeRecord, RunDirectory, Summary, find_runs, load_run, write_atomic
from harness.sealed import parse_sealed_lines, seal, unseal

PROJECT = Path(__file__).resolve().parents[1]


def manifest(seeds: list[int], **config: Any) -> dict[str, Any]:
    return {"config": {"episode_seeds": seeds, "scenario": "3m-v1", **config}, "passport": {"python": "3.11"}}


def record(seed: int) -> EpisodeRecord:
    rewards = [round(0.1 * seed + step, 3) for step in range(seed % 5 + 1)]
    return EpisodeRecord(
        seed, float(np.sum(rewards)), len(rewards), seed % 2 == 0, True, False, rewards, f"{seed:032x}"
    )


def summary(episodes: int, **changes: Any) -> Summary:
    values: dict[str, Any] = dict(
        scenario="3m-v1", agent="bc", agent_hash="ab" * 16, dataset="3m-good", training_seed=0,
        engine="embedded-sc2/1", layout="smac-v1", act_mode="batched", episodes=episodes, return_mean=1.5,
        return_std=0.5, wins=1, win_rate=0.5, win_rate_lower=0.1, win_rate_upper=0.9, mean_length=3.0,
        latency_scenario="batched", action_p50_us=120.0, action_p90_us=300.0, latency_n=300,
    )  # fmt: skip
    return Summary(**{**values, **changes})


def finished_run(path: Path, seeds: list[int]) -> Path:
    with RunDirectory.open(path, manifest(seeds)) as run:
        for seed in seeds:
            run.append(record(seed))
        run.finish(summary(len(seeds)))
    return path


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
        assert run.manifest["passport"] == {"python": "3.11"}
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
            assert run.dropped_bytes == length - log.stat().st_size
            for seed in run.missing(seeds):
                run.append(record(seed))
        assert log.read_bytes() == whole


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


def test_every_flipped_bit_of_a_finished_run_is_detected(tmp_path: Path) -> None:
    finished_run(tmp_path, [1, 2])
    for name in ("manifest.json", "episodes.jsonl", "summary.json"):
        path = tmp_path / name
        whole = path.read_bytes()
        for bit in range(len(whole) * 8):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            with pytest.raises(CorruptFileError, match=name):
                load_run(tmp_path)
        path.write_bytes(whole)


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
    with pytest.raises(CorruptFileError, match="not a summary"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_bytes(seal({"schema_version": 1, "config": {}}))
    with pytest.raises(CorruptFileError, match="not the manifest of a run"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_bytes(seal({"schema_version": 2, "config": {}}))
    with pytest.raises(MismatchError, match="schema 2"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(CorruptFileError, match=r"episodes but no manifest\.json"):
        RunDirectory.open(tmp_path, manifest([1]))
    with pytest.raises(UnknownNameError, match="not a run directory"):
        load_run(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), JSON, max_size=4).filter(lambda o: "checksum" not in o), max_size=4)
)
def test_sealed_lines_come_back_as_they_went_in(objects: list[dict[str, Any]]) -> None:
    data = b"".join(seal(values) for values in objects)
    assert parse_sealed_lines(data, Path("log")) == (objects, len(data))


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_bytes_put_into_a_log_change_what_is_read(noise: bytes, start: int, cut: int) -> None:
    """Overwrite, insert or delete anything anywhere: a prefix of the truth or an error, never another record."""
    records = [dataclasses.asdict(record(seed)) for seed in (1, 2, 3)]
    whole = b"".join(seal(values) for values in records)
    start %= len(whole) + 1
    data = whole[:start] + noise + whole[start + cut % 200 :]
    try:
        objects, intact = parse_sealed_lines(data, Path("log"))
    except CorruptFileError as error:
        assert "log line" in str(error)
    else:
        assert all(values in records for values in objects)
        assert data[:intact] == b"".join(seal(values) for values in objects)


def test_unseal_refuses_a_seal_over_nonsense() -> None:
    sealed = seal({"a": 1})
    assert unseal(sealed) == {"a": 1}
    assert unseal(b"") is None
    assert unseal(seal({"a": [0] * 10}).replace(b"[0", b"[1")) is None


WRITER = """
import json, sys
from pathlib import Path
from harness.records import EpisodeRecord, RunDirectory
plan = json.loads(Path(sys.argv[1]).read_text())
with RunDirectory.open(Path(sys.argv[2]), plan["manifest"]) as run:
    for values in plan["records"]:
        if run.missing([values["episode_seed"]]):
            run.append(EpisodeRecord(**values))
            print(values["episode_seed"], flush=True)
"""


def reports_until_killed(plan: Path, run: Path, n_lines: int, delay_s: float) -> set[int]:
    """Start a writer, kill it some time after it has reported `n_lines` episodes, return all that it reported."""
    command = [sys.executable, "-c", WRITER, str(plan), str(run)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(n_lines)]
        time.sleep(delay_s)
        writer.kill()
        return {int(line) for line in [*lines, *writer.stdout] if line}


def test_kill_9_at_random_instants_loses_no_finished_episode(tmp_path: Path) -> None:
    seeds = list(range(600))
    plan, run = tmp_path / "plan.json", tmp_path / "run"
    records = [dataclasses.asdict(record(seed)) for seed in seeds]
    plan.write_text(json.dumps({"manifest": manifest(seeds), "records": records}))
    reported: set[int] = set()
    rng = np.random.default_rng(0)
    for n_lines in [*[0] * 20, *rng.integers(0, 12, size=20)]:
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
        directory.finish(summary(600))
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


def test_write_atomic_leaves_the_old_file_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    write_atomic(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"table\.csv"):
            write_atomic(path, b"new")
    assert [child.name for child in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


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

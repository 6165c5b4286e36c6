"""One evaluation, in this process: which episodes, what is kept, what a second call does, what the summary says."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.checkpoints import initial
from agents.vgm2p import Vgm2pConfig
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.errors import (
    InvalidValueError,
    MismatchError,
    RunConflictError,
    UnknownNameError,
)
from env_adapters.starcraft.battle import ENGINE_ID
from harness import evaluate as module
from harness import progress, replay
from harness.evaluate import EvaluateConfig, Evaluation, episode_seeds, evaluate
from harness.latency import LatencySample
from harness.records import EpisodeRecord, RunDirectory, load_run

LATENCY = LatencySample(n=300, p50_us=100.0, p90_us=200.0, p99_us=None, max_us=900.0, load_average=0.5)
TIMES = ("action_p50_us", "action_p90_us")


def config(out: Path, **options: Any) -> EvaluateConfig:
    return EvaluateConfig(
        **{"map": "3m", "agent": "random", "episodes": 6, "video": 0, "out": out, **options}
    )


def lines(path: Path) -> list[str]:
    return sorted((path / "episodes.jsonl").read_text().splitlines())


def numbers(evaluation: Evaluation) -> dict[str, Any]:
    """A summary without what the clock decides."""
    return {key: value for key, value in asdict(evaluation.summary).items() if key not in TIMES}


@pytest.fixture(scope="module")
def spec() -> TeamSpec:
    with scenarios.make_vector("3m", 1) as env:
        return env.spec


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluate(config(tmp_path_factory.mktemp("runs") / "whole", n_games=3))


def test_a_longer_list_of_seeds_begins_with_a_shorter_one() -> None:
    whole = episode_seeds(0, 50)
    assert all(episode_seeds(0, n) == whole[:n] for n in (0, 1, 7, 50))
    assert all(type(seed) is int and 0 <= seed < 2**32 for seed in whole)
    assert not set(whole) & set(episode_seeds(1, 50))


def test_seeds_are_distinct_even_where_the_generator_repeats_itself() -> None:
    """Number 4875 of root 32 repeats an earlier one; a record of the same seed twice would be an error."""
    drawn = [int(np.random.SeedSequence([32, 0, i]).generate_state(1, np.uint32)[0]) for i in range(4876)]
    assert len(set(drawn)) == 4875
    seeds = episode_seeds(32, 4876)
    assert len(set(seeds)) == 4876 and seeds[:4875] == drawn[:4875]


def test_a_finished_run_holds_every_episode_and_its_statistics(finished: Evaluation) -> None:
    run = load_run(finished.path)
    assert [record.episode_seed for record in run.episodes] == episode_seeds(0, 6)
    assert run.summary == finished.summary and not finished.resumed
    returns = [math.fsum(record.rewards) for record in run.episodes]
    assert finished.summary.return_mean == pytest.approx(sum(returns) / 6)
    assert len(set(returns)) > 1, "a random team does not play the same episode six times"
    assert finished.summary.scenario == "3m-v1" and finished.summary.agent == "random"
    assert run.manifest["config"]["episode_seeds"] == episode_seeds(0, 6)
    assert run.manifest["passport"]["packages"]["numpy"]


@pytest.mark.parametrize("n_games", [1, 8, 64])
def test_results_do_not_depend_on_games_played_side_by_side(
    finished: Evaluation, tmp_path: Path, n_games: int
) -> None:
    other = evaluate(config(tmp_path / "run", n_games=n_games))
    assert lines(other.path) == lines(finished.path)
    assert numbers(other) == numbers(finished)


def test_a_shorter_evaluation_plays_the_first_of_the_same_episodes(
    finished: Evaluation, tmp_path: Path
) -> None:
    shorter = load_run(evaluate(config(tmp_path / "run", episodes=4)).path)
    assert shorter.episodes == load_run(finished.path).episodes[:4]


def test_another_seed_plays_other_episodes(finished: Evaluation, tmp_path: Path) -> None:
    other = evaluate(config(tmp_path / "run", seed=1))
    assert not set(lines(other.path)) & set(lines(finished.path))


def test_name_and_id_of_a_map_are_the_same_run(
    spec: TeamSpec, finished: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = evaluate(EvaluateConfig("3m", agent="random", episodes=1, video=0))
    again = evaluate(EvaluateConfig("3m-v1", agent="random", episodes=1, video=0))
    assert again == replace(first, resumed=True)
    assert (
        first.path == Path("runs") / f"3m--random-{initial('random', None, spec, 0).weights_hash[:8]}-s0-n1"
    )


def test_default_folders_tell_protocols_apart_and_leave_defaults_out(spec: TeamSpec) -> None:
    team = initial("vgm2p", Vgm2pConfig(hidden=(4,)), spec, 0)
    stem = f"3m--vgm2p-{team.weights_hash[:8]}"
    scenario = scenarios.find("3m")
    assert module.default_folder(scenario, team, "fresh", 0, 32) == Path("runs") / f"{stem}-s0"
    assert module.default_folder(scenario, team, "zero", 2, 8) == Path("runs") / f"{stem}-zero-s2-n8"


def stop_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt the evaluation, as Ctrl-C would, when n episodes are on disk."""
    original, counter = RunDirectory.append, itertools.count(1)

    def append(run: RunDirectory, record: EpisodeRecord) -> None:
        original(run, record)
        if next(counter) == n:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "append", append)


@pytest.mark.parametrize("n", [1, 4, 6])
def test_an_interrupted_run_ends_as_if_it_had_not_been(finished: Evaluation, tmp_path: Path, n: int) -> None:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        stop_after(n, patch)
        with pytest.raises(KeyboardInterrupt):
            evaluate(config(tmp_path / "run", n_games=2))
    run = load_run(tmp_path / "run")
    assert (len(run.episodes), run.summary) == (n, None)
    resumed = evaluate(config(tmp_path / "run", n_games=3), said.append)
    assert lines(resumed.path) == lines(finished.path)
    assert numbers(resumed) == numbers(finished) and not resumed.resumed
    playing = [line for line in said if line.startswith("playing")]
    assert playing == (
        [f"playing {6 - n} episodes of 3m-v1 on {ENGINE_ID} ({n} of 6 are there already) ..."]
        if n < 6
        else []
    )


def forbid_playing(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(*arguments: object) -> None:
        raise AssertionError("nothing was to be played")

    monkeypatch.setattr(module, "play", play)
    monkeypatch.setattr(module, "replay", play)


def test_a_second_call_plays_nothing(finished: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in finished.path.rglob("*") if path.is_file()}
    forbid_playing(monkeypatch)
    again = evaluate(config(finished.path))
    assert again == replace(finished, resumed=True)
    assert {path: path.read_bytes() for path in finished.path.rglob("*") if path.is_file()} == before


def test_fresh_plays_again_and_gets_the_same_bytes(tmp_path: Path) -> None:
    first = evaluate(config(tmp_path / "run", episodes=3, n_games=1))
    before = (first.path / "episodes.jsonl").read_bytes()
    (first.path / "videos").mkdir()
    (first.path / "videos" / "episode-7-won.mp4").write_bytes(b"of an older run")
    again = evaluate(config(tmp_path / "run", episodes=3, n_games=1, fresh=True))
    assert not again.resumed and (first.path / "episodes.jsonl").read_bytes() == before
    assert not list((first.path / "videos").iterdir()), "films of what was replaced are gone"


def test_another_question_does_not_overwrite_the_answer(finished: Evaluation) -> None:
    before = lines(finished.path)
    for change in ({"agent": "noop"}, {"episodes": 7}, {"seed": 1}):
        with pytest.raises(RunConflictError, match="--fresh"):
            evaluate(config(finished.path, **change))
    assert lines(finished.path) == before


def test_a_film_that_was_deleted_is_drawn_again_without_playing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(config(tmp_path / "run", episodes=2, video=1))
    (name,) = first.summary.videos
    before = lines(first.path)
    (first.path / name).unlink()
    monkeypatch.setattr(module, "play", lambda *_: iter(()))
    again = evaluate(config(tmp_path / "run", episodes=2, video=1))
    assert (again.path / name).is_file() and not again.resumed
    assert again.summary.videos == [name] and lines(first.path) == before
    forbid_playing(monkeypatch)
    assert evaluate(config(tmp_path / "run", episodes=2, video=1)).resumed


def test_films_that_cannot_be_written_cost_the_film_and_not_the_result(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "videos").write_text("in the way")
    said: list[str] = []
    evaluation = evaluate(config(tmp_path / "run", episodes=2, video=2), said.append)
    assert evaluation.summary.videos == [] and evaluation.summary.episodes == 2
    assert sum(line.startswith("no film of episode") and "videos" in line for line in said) == 2


def test_more_films_than_episodes_are_all_episodes(tmp_path: Path) -> None:
    evaluation = evaluate(config(tmp_path / "run", agent="noop", episodes=2, video=9))
    assert len(evaluation.summary.videos) == 2
    assert all((evaluation.path / name).stat().st_size > 1000 for name in evaluation.summary.videos)
    assert evaluate(config(tmp_path / "run", agent="noop", episodes=2, video=9)).resumed


def test_an_episode_that_ends_differently_is_reported(tmp_path: Path, spec: TeamSpec) -> None:
    """Records of another build, or a simulator that is not deterministic: the film would show something else."""
    with pytest.MonkeyPatch.context() as patch:
        of = EpisodeRecord.of
        patch.setattr(EpisodeRecord, "of", lambda episode: replace(of(episode), final_hash="0" * 32))
        with pytest.raises(MismatchError, match=r"ended differently.*--fresh"):
            evaluate(config(tmp_path / "run", episodes=2))
    team = initial("random", None, spec, 0)
    records = load_run(tmp_path / "run").episodes
    with pytest.raises(MismatchError, match=str(records[1].episode_seed)):
        list(replay.replay("3m", team, "sample", records[1:]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"episodes": 0}, "--episodes is 0"),
        ({"episodes": -3}, "--episodes is -3"),
        ({"video": -1}, "--video is -1"),
        ({"seed": -1}, "--seed is -1"),
        ({"n_games": 0}, "--n-games is 0"),
    ],
)
def test_senseless_numbers_are_refused_before_anything_is_built(
    options: dict[str, int], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenarios, "make_vector", None)
    with pytest.raises(InvalidValueError, match=words):
        evaluate(config(tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()


def test_an_unknown_act_mode_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'loud'.*sample"):
        evaluate(config(tmp_path / "run", act_mode="loud"))
    assert not (tmp_path / "run").exists()


def test_threads_of_torch_are_given_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), module.one_torch_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_reports_are_due_once_per_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.9, 2.0, 2.1, 9.0, 10.9, 11.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    due = progress.every(2.0)
    assert [due() for _ in range(6)] == [False, True, False, True, False, True]

"""One evaluation, in this process: which episodes, what is kept, what a second call does, what the summary says."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.checkpoints import initial
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, RunConflictError, UnknownNameError
from env_adapters.starcraft.battle import ENGINE_ID
from harness import here, jobs, look, progress
from harness.evaluate import Evaluation, evaluate
from harness.options import EvaluateConfig
from harness.plan import default_folder, episode_seeds
from harness.records import load_run
from harness.run_directory import RunDirectory
from harness.schema import EpisodeRecord
from harness.sealed import seal
from harness.team import TeamSource, load_team


def config(out: Path, **options: Any) -> EvaluateConfig:
    return EvaluateConfig(
        **{"map": "3m", "agent": "random", "episodes": 6, "video": 0, "out": out, "workers": 0, **options}
    )


def lines(path: Path) -> list[str]:
    return (path / "episodes.jsonl").read_text().splitlines()


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
    assert other.summary == finished.summary


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_do_not_depend_on_worker_processes(
    finished: Evaluation, tmp_path: Path, workers: int
) -> None:
    other = evaluate(config(tmp_path / "run", workers=workers, latency="none"))
    for name in ("episodes.jsonl", "summary.json"):
        assert (other.path / name).read_bytes() == (finished.path / name).read_bytes()


def test_a_process_per_agent_plays_the_same_episodes(tmp_path: Path) -> None:
    question = {"agent": "nearest", "episodes": 2}
    batched = evaluate(config(tmp_path / "a", **question))
    apart = evaluate(config(tmp_path / "b", execution="decentralized", **question))
    assert lines(apart.path) == lines(batched.path)
    assert apart.summary.conditions == {"execution": "decentralized"}
    assert apart.latency is not None and apart.latency.scenario == "decentralized"
    assert [agent.agent_index for agent in apart.latency.agents] == [0, 1, 2]
    samples = np.load(tmp_path / "b" / "latency_samples.npy", allow_pickle=False)
    assert samples.shape == (apart.latency.n, 4) and apart.latency.max_us == samples[:, 1:].max()
    joint = np.load(tmp_path / "a" / "latency_samples.npy", allow_pickle=False)
    assert batched.latency is not None and joint.shape == (batched.latency.n,)


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
    first = evaluate(EvaluateConfig("3m", agent="random", episodes=1, video=0, workers=0))
    again = evaluate(EvaluateConfig("3m-v1", agent="random", episodes=1, video=0, workers=0))
    assert again == replace(first, resumed=True)
    assert (
        first.path == Path("runs") / f"3m--random-{initial('random', None, spec, 0).weights_hash[:8]}-s0-n1"
    )


@pytest.mark.parametrize(
    ("options", "rest"),
    [
        ({}, "s0"),
        ({"act_mode": "zero", "seed": 2, "episodes": 8}, "zero-s2-n8"),
        ({"episodes": 32}, "s0"),
        ({"drop_observation": 0.1, "swap_agent": ("0=random", "2=noop")}, "s0-drop0.1-swap0_random+2_noop"),
        ({"deadline_ms": 2.5}, "s0-deadline2.5"),
        ({"execution": "decentralized"}, "s0-decentralized"),
        ({"until_ci": 0.03}, "s0-ci0.03"),
        ({"until_better_than": Path("runs/other")}, "s0-better-than-other"),
        ({"on_crash": "exclude"}, "s0-exclude"),
    ],
)
def test_default_folders_tell_protocols_apart_and_leave_defaults_out(
    options: dict[str, Any], rest: str
) -> None:
    name = "5m_vs_6m"
    with scenarios.make_vector(name, 1) as env:
        team = load_team(name, env.spec, TeamSource("vgm2p", None, options.get("act_mode")))
    folder = default_folder(scenarios.find(name), team, EvaluateConfig(name, **options), team.spec.layout)
    assert folder == Path("runs") / f"{name}--vgm2p-{team.weights_hash[:8]}-{rest}"


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
    assert resumed.summary == finished.summary and not resumed.resumed
    playing = [line for line in said if line.startswith("playing")]
    assert playing == (
        [f"playing {6 - n} episodes of 3m-v1 on {ENGINE_ID} ({n} of 6 are there already) ..."]
        if n < 6
        else []
    )


def forbid_playing(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(*arguments: object) -> None:
        raise AssertionError("nothing was to be played")

    monkeypatch.setattr(here, "play_job", play)
    monkeypatch.setattr(look, "play_again", play)


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
    monkeypatch.setattr(here, "play_job", lambda *_: iter(()))
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


def test_an_episode_that_ends_differently_is_reported(tmp_path: Path) -> None:
    """Records of another build, or a simulator that is not deterministic: said, and no film is drawn of it."""
    first = evaluate(config(tmp_path / "run", episodes=2))
    other = replace(load_run(first.path).episodes[0], final_hash="0" * 32)
    (tmp_path / "run" / "summary.json").unlink()
    log = tmp_path / "run" / "episodes.jsonl"
    log.write_bytes(seal(vars(other)) + log.read_bytes().splitlines(keepends=True)[1])
    said: list[str] = []
    again = evaluate(config(tmp_path / "run", episodes=2, video=2), said.append)
    assert any(f"episode {other.episode_seed} ended differently when played again" in line for line in said)
    assert len(again.summary.videos) == 1 and str(other.episode_seed) not in again.summary.videos[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"episodes": 0}, "--episodes is 0"),
        ({"episodes": -3}, "--episodes is -3"),
        ({"video": -1}, "--video is -1"),
        ({"seed": -1}, "--seed is -1"),
        ({"n_games": 0}, "--n-games is 0"),
        ({"workers": -1}, "--workers is -1"),
        ({"retries": -1}, "--retries is -1"),
        ({"timeout_s": 0.0}, "--timeout-s is 0"),
        ({"alpha": 1.0}, "--alpha is 1"),
        ({"until_ci": 0.0}, "--until-ci is 0"),
        ({"until_ci": 0.1, "until_better_than": Path("x")}, "either --until-ci or"),
        ({"until_ci": 0.1, "on_crash": "exclude"}, "do not go together"),
        ({"deadline_ms": 0.0}, "--deadline-ms is 0"),
        ({"deadline_ms": float("nan")}, "--deadline-ms is nan"),
    ],
)
def test_senseless_numbers_are_refused_before_anything_is_built(
    options: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        with pytest.raises(ZeroDivisionError), jobs.one_torch_thread():
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

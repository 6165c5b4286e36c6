"""Distance to the data's support: planted policies, exact neighbours, intervals over episodes, and the command."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import CONTINUOUS, DISCRETE, make_episode, write

from agents.acting import BatchedTeam
from agents.checkpoints import initial
from datasets.formats.native import open_dataset
from datasets.schema import Dataset
from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamPolicy, TeamSpec
from env_adapters.errors import InvalidValueError
from env_adapters.rollout import Episode
from harness import cli
from harness.errors import run_command
from harness.statistics.clustered import ClusterBootstrap
from harness.support import Support, SupportOptions, neighbours, situations
from harness.support.neighbours import Neighbours, Scale, find_neighbours

PROJECT = Path(__file__).resolve().parents[1]
OPTIONS = SupportOptions(observations=300, neighbours=5, seed=3)


def coordinated(
    spec: TeamSpec, n_episodes: int = 60, length: int = 10, forced: int | None = None
) -> list[Episode]:
    """Both agents always do the same, one of two things; which one is not in the observations."""
    rng = np.random.default_rng(5)
    episodes = []
    for _ in range(n_episodes):
        episode = make_episode(rng, length, spec, masks=spec.action_kind == "discrete")
        coin = rng.integers(2, size=length)
        if spec.action_kind == "discrete":
            episode.actions = list(np.repeat(1 + 2 * coin[:, None], spec.n_agents, axis=1))
        else:
            noise = rng.normal(scale=0.01, size=(length, spec.n_agents, spec.action_size))
            episode.actions = list(((coin * 1.6 - 0.8)[:, None, None] + noise).astype(np.float32))
        for mask in episode.available_actions:
            mask[:] = True
            if forced is not None:
                mask[forced] = np.arange(spec.action_size) == 4
        if forced is not None:
            for action in episode.actions:
                action[forced] = 4
        episodes.append(episode)
    return episodes


def dataset_of(folder: Path, episodes: list[Episode], spec: TeamSpec, name: str = "d.h5") -> Dataset:
    write(folder / name, episodes, spec)
    return open_dataset(folder / name)


class Replays:
    """Recognises an observation of the dataset and does what stands in a table at its transition."""

    def __init__(self, dataset: Dataset, actions: np.ndarray) -> None:
        batch = dataset.transitions(np.arange(dataset.n_transitions))
        self.rows = {seen.tobytes(): row for row, seen in enumerate(batch.observations)}
        self.actions = actions

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        pass

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        chosen: ActionArray = np.stack([self.actions[self.rows[seen.tobytes()]] for seen in observations])
        return chosen


def all_actions(dataset: Dataset) -> np.ndarray:
    return dataset.transitions(np.arange(dataset.n_transitions)).actions


def making(dataset: Dataset, actions: np.ndarray) -> Callable[[int], TeamPolicy]:
    return lambda n_games: Replays(dataset, actions)


@pytest.fixture(params=[DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def spec(request: pytest.FixtureRequest) -> TeamSpec:
    return request.param  # type: ignore[no-any-return]


def test_a_copy_of_the_data_is_as_far_as_the_data_from_itself(tmp_path: Path, spec: TeamSpec) -> None:
    dataset = dataset_of(tmp_path, coordinated(spec), spec)
    support = Support(dataset, OPTIONS)
    place = support.in_data(making(dataset, all_actions(dataset)), remembers=False)
    assert place.team == support.level.report()
    for ratio in (place.to_data.single, place.to_data.joint):
        assert ratio is None or ratio.mean == 1.0
    assert place.to_data.joint is not None, (
        "the level of reference is not zero: a row is not its own neighbour"
    )
    assert place.to_random.joint is not None and place.to_random.joint.mean < 0.2
    assert place.n_situations == 300 and 50 < place.n_episodes <= 60


def test_uniform_actions_are_at_the_random_level(tmp_path: Path, spec: TeamSpec) -> None:
    dataset = dataset_of(tmp_path, coordinated(spec), spec)
    rng, shape = np.random.default_rng(0), all_actions(dataset).shape
    uniform: Any = rng.integers(5, size=shape)
    if spec.action_kind == "continuous":
        uniform = rng.uniform(-1, 1, shape).astype(np.float32)
    place = Support(dataset, OPTIONS).in_data(making(dataset, uniform), remembers=False)
    for ratio in (place.to_random.single, place.to_random.joint):
        assert ratio is not None and ratio.lower is not None and ratio.upper is not None
        assert ratio.lower < 1.0 < ratio.upper and 0.85 < ratio.mean < 1.15
    assert place.to_data.joint is not None and place.to_data.joint.mean > 5.0


def test_broken_coordination_is_seen_in_the_joint_distance_alone(tmp_path: Path, spec: TeamSpec) -> None:
    dataset = dataset_of(tmp_path, coordinated(spec), spec)
    alone = all_actions(dataset).copy()
    rng = np.random.default_rng(1)
    for agent in range(spec.n_agents):
        alone[:, agent] = alone[rng.permutation(len(alone)), agent]
    support = Support(dataset, OPTIONS)
    place = support.in_data(making(dataset, alone), remembers=False)
    random, data, team = place.random, support.level.report(), place.team
    assert team.single.mean < data.single.mean + 0.05 * random.single.mean, "each agent stays in the data"
    assert data.joint.upper is not None and team.joint.lower is not None
    assert team.joint.lower > 3 * data.joint.upper, "the team does not"
    assert place.to_independent.joint is not None and 0.8 < place.to_independent.joint.mean < 1.25
    assert place.independent.single.mean == 0.0
    if spec.action_kind == "discrete":
        assert team.joint.mean == pytest.approx(0.25, abs=0.06), "in half of the cases half of the agents"
        assert team.joint_exact is not None and team.joint_exact.mean == pytest.approx(0.5, abs=0.1)
        assert team.single_frequency is not None and team.single_frequency.mean == pytest.approx(0.5, abs=0.1)


def test_forced_actions_do_not_count(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, coordinated(DISCRETE, forced=1), DISCRETE)
    support = Support(dataset, OPTIONS)
    wrong = all_actions(dataset).copy()
    wrong[:, 0] = 2  # never in the data
    place = support.in_data(making(dataset, wrong), remembers=False)
    assert place.team.single.mean == 1.0, "the forced agent's perfect agreement is left out"
    assert place.team.joint.mean == 0.5


def test_nobody_with_a_choice_is_refused(tmp_path: Path) -> None:
    episodes = coordinated(DISCRETE)
    for episode in episodes:
        for mask in episode.available_actions:
            mask[:] = np.arange(5) == 4
        episode.actions = [np.full(2, 4)] * episode.length
    with pytest.raises(InvalidValueError, match="no agent has a choice"):
        Support(dataset_of(tmp_path, episodes, DISCRETE), OPTIONS)


def awkward(n_episodes: int = 12) -> list[Episode]:
    """Ties, a constant feature, features of very different size and place, episodes of unequal length."""
    rng = np.random.default_rng(2)
    episodes = [make_episode(rng, int(length)) for length in rng.integers(1, 9, n_episodes)]
    for episode in episodes:
        for seen in episode.observations:
            seen[:, 0] = 3.25
            seen[:, 1] = np.round(seen[:, 1])
            seen[:, 2] = np.float32(1e3) + np.float32(1e-2) * seen[:, 2]
    return episodes


def brute(dataset: Dataset, queries: np.ndarray, own: IntArray | None, k: int, rows: IntArray) -> np.ndarray:
    """[N + 1, M, k] squared distances, by the definition."""
    everything = dataset.observations.astype(np.float64)
    std = everything.std(axis=0)
    std[everything.max(axis=0) == everything.min(axis=0)] = np.inf
    episode = np.searchsorted(dataset.episode_offsets, rows, side="right") - 1
    away = (queries[:, None].astype(np.float64) - everything[rows + episode][None]) / std
    single = (away**2).sum(axis=-1)
    together = np.concatenate([single, single.sum(axis=-1, keepdims=True)], axis=-1)
    if own is not None:
        together[own[:, None] == episode[None]] = np.inf
    return np.sort(together, axis=1)[:, :k].transpose(2, 0, 1)


@pytest.mark.parametrize("n_searched", [None, 30])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("blocks", [(7, 3, 5), (4096, 256, 20_000)])
def test_neighbours_equal_those_by_the_definition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, n_searched: int | None, blocks: tuple[int, ...]
) -> None:  # fmt: skip
    for name, size in zip(("_ROWS", "_QUERIES", "_PAIRS"), blocks, strict=True):
        monkeypatch.setattr(neighbours, name, size)
    dataset = dataset_of(tmp_path, awkward(), DISCRETE)
    where = situations.of_dataset(dataset, np.arange(0, dataset.n_transitions, 2))
    episodes = where.episodes if own else None
    order = np.random.default_rng(0).permutation(dataset.n_transitions)[:n_searched]
    everybody = np.ones((3, len(where.steps)), dtype=np.bool_)
    found = find_neighbours(dataset, Scale.of(dataset), where.observations, episodes, everybody, 4, order)
    expected = brute(dataset, where.observations, episodes, 4, order)
    np.testing.assert_allclose(found.squared, expected, rtol=1e-9, atol=1e-12)
    assert np.isin(found.rows, order).all()
    assert all(len(set(rows)) == 4 for rows in found.rows.reshape(-1, 4).tolist())
    if own:
        of = np.searchsorted(dataset.episode_offsets, found.rows, side="right") - 1
        assert not (of == where.episodes[:, None]).any()


def test_a_distant_crowd_is_told_apart(tmp_path: Path) -> None:
    """Single precision alone cannot order these: far from the mean, and almost equally far from each other."""
    rng = np.random.default_rng(4)
    episodes = [make_episode(rng, 20) for _ in range(20)]
    for episode in episodes[:10]:
        for seen in episode.observations:
            seen[:] = 5e3 + 1e-2 * seen
    dataset = dataset_of(tmp_path, episodes, DISCRETE)
    where = situations.of_dataset(dataset, np.arange(0, 200, 5))
    everybody = np.ones((3, len(where.steps)), dtype=np.bool_)
    order = np.arange(dataset.n_transitions)
    found = find_neighbours(dataset, Scale.of(dataset), where.observations, where.episodes, everybody, 3, order)  # fmt: skip
    expected = brute(dataset, where.observations, where.episodes, 3, order)
    np.testing.assert_allclose(found.squared, expected, rtol=1e-6)


def test_the_order_of_the_data_does_not_matter(tmp_path: Path, spec: TeamSpec) -> None:
    episodes, visited = coordinated(spec), coordinated(spec, n_episodes=4)
    one, other = (
        Support(dataset_of(tmp_path, part, spec, name), OPTIONS)
        for part, name in ((episodes, "a.h5"), (episodes[::-1], "b.h5"))
    )
    first, second = one.in_play(visited), other.in_play(visited)
    assert (first.random, first.independent) == (second.random, second.independent)
    assert first.team == second.team
    assert first.observation.joint is not None and second.observation.joint is not None
    assert first.observation.joint.mean == pytest.approx(second.observation.joint.mean, rel=1e-9)


def test_situations_of_play_are_what_was_played(tmp_path: Path) -> None:
    episodes = coordinated(DISCRETE, n_episodes=3)
    where = situations.of_play(episodes, 17, np.random.default_rng(0))
    assert len(where.steps) == 17 == len(set(zip(where.episodes.tolist(), where.steps.tolist(), strict=True)))
    for row, (episode, step) in enumerate(zip(where.episodes, where.steps, strict=True)):
        np.testing.assert_array_equal(where.observations[row], episodes[episode].observations[step])
        np.testing.assert_array_equal(where.actions[row], episodes[episode].actions[step])
    assert len(situations.of_play(episodes, 1000, np.random.default_rng(0)).steps) == 30


class Remembers:
    """Does what its number of steps and what it saw one step earlier say."""

    def __init__(self, n_games: int) -> None:
        self.steps, self.before = np.zeros(n_games, dtype=np.int64), np.zeros(n_games, dtype=np.int64)

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        self.steps[games] = self.before[games] = 0

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        actions = np.stack([self.steps % 5, self.before], axis=1)
        self.steps += 1
        self.before = np.round(observations[:, 0, 0] * 4).astype(np.int64)
        return actions


def test_a_team_that_remembers_lives_through_the_episode_first(tmp_path: Path) -> None:
    episodes = coordinated(DISCRETE, n_episodes=10)
    for episode in episodes:
        for step, seen in enumerate(episode.observations):
            seen[0, 0] = (step * 3 % 5) / 4
    dataset = dataset_of(tmp_path, episodes, DISCRETE)
    where = situations.of_dataset(dataset, np.arange(3, 100, 7))
    seeds = np.arange(len(where.steps))
    chosen = situations.choose_actions(Remembers, True, dataset, where, seeds)
    np.testing.assert_array_equal(chosen[:, 0], where.steps % 5)
    np.testing.assert_array_equal(chosen[:, 1], np.maximum(where.steps - 1, 0) * 3 % 5)
    assert not situations.choose_actions(Remembers, False, dataset, where, seeds).any()


def test_noise_depends_on_the_situation_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(tmp_path, coordinated(DISCRETE), DISCRETE)
    where = situations.of_dataset(dataset, np.arange(50))
    team = initial("random", None, DISCRETE, seed=0)

    def chosen() -> ActionArray:
        seeds = np.arange(50)
        return situations.choose_actions(
            lambda n: BatchedTeam(team.agent, team.params, n), False, dataset, where, seeds
        )

    whole = chosen()
    monkeypatch.setattr(situations, "_GAMES", 7)
    np.testing.assert_array_equal(chosen(), whole)
    assert len(np.unique(whole)) == 5


def test_clusters_make_intervals_as_wide_as_they_should_be() -> None:
    rng = np.random.default_rng(0)
    level = rng.normal(1.0, 1.0, 100)
    clusters = np.repeat(np.arange(100), 20)
    interval = ClusterBootstrap(clusters, rng).mean(level[clusters]).interval()
    assert interval is not None
    expected = 2 * 1.96 * level.std(ddof=1) / np.sqrt(100)
    assert 0.85 * expected < interval.upper - interval.lower < 1.15 * expected, "not that of 2,000 rows"
    assert interval.lower < level.mean() < interval.upper


def test_what_two_means_share_cancels_in_their_ratio() -> None:
    rng = np.random.default_rng(0)
    values, bootstrap = rng.uniform(1, 2, 50), ClusterBootstrap(np.arange(50), rng)
    double, itself = bootstrap.mean(2 * values).ratio(bootstrap.mean(values)), bootstrap.mean(values)
    assert double is not None and double.mean == pytest.approx(2.0)
    np.testing.assert_allclose(double.values, 2.0)
    assert itself.ratio(bootstrap.mean(np.zeros(50))) is None
    assert bootstrap.mean(np.ones(50)).interval() is None, "a width of zero would claim certainty"
    only = bootstrap.mean(values, np.arange(50) < 2)
    assert only.mean == pytest.approx(values[:2].mean()) and only.interval() is None
    with pytest.raises(InvalidValueError, match="no value to average"):
        bootstrap.mean(values, np.zeros(50, dtype=np.bool_))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"neighbours": 591}, "--neighbours is 591, but only 590 transitions of the dataset lie outside"),
        ({"rows": 4}, r"--neighbours is 5, but only [1-4] transitions"),
        ({"observations": 1}, "--observations is 1; give a number from 2"),
        ({"rows": 0}, "--rows is 0; give at least 1"),
        ({"seed": -1}, "--seed is -1; give at least 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, change: dict[str, int], said: str) -> None:
    dataset = dataset_of(tmp_path, coordinated(DISCRETE), DISCRETE)
    with pytest.raises(InvalidValueError, match=said):
        Support(dataset, replace(OPTIONS, **change))  # type: ignore[arg-type]


def harness(folder: Path, line: str, code: int = 0) -> tuple[str, str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-m", "harness", *shlex.split(line)],
        cwd=folder, env=environment, text=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert process.returncode == code, process.stderr
    return process.stdout, process.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("support")
    harness(folder, "collect --map 3m --agent nearest --transitions 300 --out d.h5")
    return folder


SHIPPED = f"{PROJECT}/agents/zoo/3m--ppo-good.safetensors"


def test_the_command_measures_a_trained_team(place: Path) -> None:
    harness(place, "train --agent bc-categorical --dataset d.h5 --hidden 16 16 --steps 50 --out t")
    options = "--dataset d.h5 --observations 100 --neighbours 3 --episodes 4"
    out, _ = harness(place, f"check support --checkpoint t/checkpoint.safetensors {SHIPPED} {options} --json")
    ours, shipped = json.loads(out)
    assert ours["team"] == "t/checkpoint.safetensors" and ours["agent"] == "bc-categorical"
    assert (ours["trained_on_this"], ours["training_seed"], ours["n_played"]) == (True, 0, 4)
    assert shipped["trained_on_this"] is None and ours["data"] == shipped["data"]
    assert ours["places"]["data"]["random"] == shipped["places"]["data"]["random"]
    for report in (ours, shipped):
        assert set(report["places"]) == {"data", "play"}
        for found in report["places"].values():
            assert 0.0 <= found["team"]["single"]["mean"] <= 1.0
            assert found["team"]["single"]["mean"] < found["random"]["single"]["mean"]
        assert report["places"]["data"]["observation_to_data"]["joint"]["mean"] == 1.0
    again, _ = harness(
        place, f"check support --checkpoint t/checkpoint.safetensors {options} --json --where data"
    )
    assert json.loads(again)[0]["places"]["data"] == ours["places"]["data"], "alone or with others"


def test_the_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "support", "--checkpoint", SHIPPED, "--dataset", str(place / "d.h5")]
    assert cli.run([*arguments, "--observations", "50", "--episodes", "2", "--neighbours", "3"]) == 0
    out = capsys.readouterr().out
    for said in ("k = 3 of ", "situations of the dataset: 50 of", "the data itself", "  random", "played by"):
        assert said in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--checkpoint none --dataset d.h5", 3, "no checkpoint at none"),
        ("--checkpoint d.h5 --dataset d.h5", 5, "d.h5 cannot be read"),
        ("--checkpoint SHIPPED SHIPPED --dataset d.h5", 6, "--checkpoint: name at least one file, each once"),
        ("--checkpoint SHIPPED --dataset none.h5", 3, "there is no dataset file none.h5"),
        ("--checkpoint SHIPPED --dataset d.h5 --neighbours 3000", 6, "--neighbours is 3000, but only "),
        ("--checkpoint SHIPPED --dataset d.h5 --neighbours 0", 6, "--neighbours is 0; give a number from 1"),
        ("--checkpoint SHIPPED --dataset d.h5 --episodes 1", 6, "--episodes is 1; give a number from 2"),
        ("--checkpoint SHIPPED --dataset d.h5 --where here", 2, "--where is 'here', expected"),
        ("--checkpoint OTHER --dataset d.h5", 4, "5m_vs_6m-v1"),
        ("--dataset d.h5", 2, "--checkpoint is missing"),
    ],
)
def test_bad_inputs_are_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, code: int, said: str
) -> None:  # fmt: skip
    monkeypatch.chdir(place)
    other = SHIPPED.replace("3m--ppo-good", "5m_vs_6m--vgm2p")
    words = line.replace("SHIPPED", SHIPPED).replace("OTHER", other).split()
    assert run_command(lambda: cli.run(["check", "support", *words])) == code
    captured = capsys.readouterr()
    assert said in captured.err and not captured.out
    assert [line for line in captured.err.splitlines() if "error" in line] == [captured.err.splitlines()[-1]]


def test_rows_of_neighbours_name_their_actions(tmp_path: Path) -> None:
    from harness.support.distances import NearActions, score

    dataset = dataset_of(tmp_path, coordinated(CONTINUOUS), CONTINUOUS)
    rows = np.array([[[4, 9]], [[2, 0]], [[7, 1]]])
    near = NearActions.of(dataset, Neighbours(rows, np.zeros(rows.shape)))
    acted = np.zeros((1, 2, 2), dtype=np.float32)
    actions = np.asarray(dataset.actions, dtype=np.float64)
    expected = [np.sqrt((actions[rows[i, 0], i] ** 2).mean(axis=-1)).min() for i in range(2)]
    np.testing.assert_allclose(score(acted, near).single[0], expected)
    joint = np.sqrt((actions[rows[2, 0]] ** 2).mean(axis=(-2, -1))).min()
    np.testing.assert_allclose(score(acted, near).joint, joint)

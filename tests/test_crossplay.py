"""Cross-play: fair seats, the same episodes for every entry, and what the matrix says."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import ToyTeamEnv

from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray
from env_adapters.errors import InvalidValueError
from env_adapters.vector import LoopVectorEnv
from harness import cli
from harness.crossplay import CrossPlay, cross_play, seats
from harness.errors import run_command
from harness.team import Team, TeamSource

RIGHT, STAY = 2, 0


class Always:
    """Takes one action where it may."""

    def __init__(self, action: int) -> None:
        self.action = action

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        pass

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        assert available_actions is not None
        return np.where(available_actions[..., self.action], self.action, STAY)


def world(n_games: int = 3, n_agents: int = 3) -> LoopVectorEnv:
    return LoopVectorEnv(lambda: ToyTeamEnv(n_agents=n_agents, episode_limit=20), n_games)


def team(name: str, action: int) -> Team:
    spec = ToyTeamEnv(n_agents=3).spec
    return Team(
        name, "test", spec, "0" * 64, "greedy", True, {}, None, TeamSource(name),
        lambda n_games: Always(action), lambda i: None,  # type: ignore[arg-type, return-value]
    )  # fmt: skip


def matrix(scores: list[list[list[float]]], is_win: bool = True) -> CrossPlay:
    names = tuple("abc"[: len(scores)])
    return CrossPlay(names, is_win, np.array(scores, dtype=np.float64), seed=0)


def test_seats_alternate_and_change_places() -> None:
    assert seats(5, 0) == [0, 1, 0, 1, 0]
    assert seats(5, 1) == [1, 0, 1, 0, 1]
    assert seats(3, 2) == seats(3, 0)


def test_a_walker_loses_with_a_sleeper_and_wins_alone() -> None:
    teams = [team("walker", RIGHT), team("sleeper", STAY)]
    played = cross_play(teams, ["walker", "sleeper"], world(), list(range(10)))
    assert played.is_win and played.scores.shape == (2, 2, 10)
    assert played.mean(0, 0) > 0.8
    assert played.mean(0, 1) == played.mean(1, 0) == played.mean(1, 1) == 0.0
    walker, sleeper = played.gaps()
    assert walker.gap == played.mean(0, 0) and sleeper.gap == 0.0
    assert walker.lock == sleeper.lock == pytest.approx(played.mean(0, 0) / 2)


def test_agents_change_places_after_every_episode() -> None:
    env = world()
    env.spec = replace(env.spec, has_win=False)
    teams = [team("walker", RIGHT), team("sleeper", STAY)]
    scores = cross_play(teams, ["walker", "sleeper"], env, list(range(40))).scores
    two_walk, one_walks = (scores[0, 1, turn::2].mean() for turn in (0, 1))
    assert two_walk > 1.5 * one_walks
    assert scores[1, 0, 0::2].mean() < scores[1, 0, 1::2].mean()


def test_equal_agents_make_equal_entries_on_the_same_episodes() -> None:
    teams = [team("one", RIGHT), team("two", RIGHT)]
    scores = cross_play(teams, ["one", "two"], world(), list(range(12))).scores
    for a, b in ((0, 1), (1, 0), (1, 1)):
        np.testing.assert_array_equal(scores[a, b], scores[0, 0])


def test_entries_do_not_depend_on_the_batch() -> None:
    teams = [team("walker", RIGHT), team("sleeper", STAY)]
    small, large = (cross_play(teams, ["w", "s"], world(n), list(range(9))).scores for n in (1, 7))
    np.testing.assert_array_equal(small, large)


def test_additive_scores_have_no_lock() -> None:
    rng = np.random.default_rng(1)
    skill, noise = np.array([1.0, 4.0, 9.0]), rng.normal(size=50)
    scores = (skill[:, None] + skill[None])[..., None] / 2.0 + noise
    played = matrix(scores.tolist(), is_win=False)
    for gap, own in zip(played.gaps(), skill, strict=True):
        others = (skill.sum() - own) / 2.0
        assert gap.lock == pytest.approx(0.0, abs=1e-12)
        assert gap.gap == pytest.approx((own - others) / 2.0)
        assert gap.alone == pytest.approx(own + noise.mean())
        assert gap.mixed == pytest.approx((own + others) / 2.0 + noise.mean())
        assert gap.gap_interval.upper - gap.gap_interval.lower < 1e-9, "paired: the noise cancels"


def test_two_conventions_that_clash_are_seen() -> None:
    wins, losses = [1.0] * 40, [0.0] * 40
    for gap in matrix([[wins, losses], [losses, wins]]).gaps():
        assert gap.gap == gap.lock == 1.0
        assert 0.6 < gap.lock_interval.lower < 0.95, "forty battles prove no certainty"
        assert gap.lock_interval.upper == 1.0


def test_intervals_hold_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(3)
    scores = (rng.random((2, 2, 60)) < 0.5).astype(float)
    for gap in matrix(scores.tolist()).gaps():
        assert gap.gap_interval.lower < gap.gap < gap.gap_interval.upper
        width = gap.gap_interval.upper - gap.gap_interval.lower
        expected = 2 * 1.96 * np.sqrt(1.5 * 0.25 / 60)
        assert 0.8 * expected < width < 1.4 * expected


@pytest.mark.parametrize(
    ("names", "n_episodes", "n_agents"),
    [(["a"], 5, 3), (["a", "b"], 1, 3), (["a", "b"], 5, 1), (["a", "a"], 5, 3)],
)
def test_what_cannot_be_mixed_is_refused(names: list[str], n_episodes: int, n_agents: int) -> None:
    teams = [team(name, RIGHT) for name in names]
    with pytest.raises(InvalidValueError):
        cross_play(teams, names, world(1, n_agents), list(range(n_episodes)))


def test_the_command_prints_a_matrix_and_writes_a_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "matrix.csv"
    command = ["crossplay", "ppo-good", "noop", "--map", "3m", "--episodes", "4", "--csv", str(file)]
    assert cli.run(command) == 0
    out = capsys.readouterr().out
    assert "A \\ B" in out and "convention lock" in out and "4 episodes per entry" in out
    rows = list(csv.DictReader(file.open()))
    assert [(row["agent_a"], row["agent_b"]) for row in rows] == [
        (a, b) for a in ("ppo-good", "noop") for b in ("ppo-good", "noop")
    ]
    assert all(float(row["lower"]) <= float(row["mean"]) <= float(row["upper"]) for row in rows)
    assert cli.run([*command[:-2], "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [entry["mean"] for entry in data["entries"]] == [float(row["mean"]) for row in rows]


def test_files_and_code_take_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = f"{Path(__file__).with_name('leaky_agents.py')}:recurrent"
    names = ["agents/zoo/3m--ppo-good.safetensors", code, "ppo-good"]
    command = ["crossplay", *names, "--map", "3m", "--episodes", "2", "--json"]
    assert cli.run(command) == 0
    agents = [gap["agent"] for gap in json.loads(capsys.readouterr().out)["agents"]]
    assert agents[1] == "leaky_agents.py:recurrent" and agents[0] != agents[2]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("ppo-good --map 3m", 6, "name two agents or more"),
        ("random random --map 3m", 6, "named twice"),
        ("random noop --map 3m --episodes 1", 6, "--episodes is 1"),
        ("random nope --map 3m", 3, "unknown agent 'nope'"),
        ("random no.safetensors --map 3m", 3, "no.safetensors"),
        ("random agents/zoo/5m_vs_6m--vgm2p.safetensors --map 3m", 4, "was trained for scenario"),
        ("random noop", 2, "--map is missing"),
    ],
)
def test_wrong_commands(arguments: str, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lambda: cli.run(["crossplay", *arguments.split()])) == code
    assert words in capsys.readouterr().err

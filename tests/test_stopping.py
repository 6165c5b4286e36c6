"""Evaluations that stop when they know enough: at the same episode however they are played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from env_adapters.errors import MismatchError
from harness.evaluate import Evaluation, evaluate
from harness.options import EvaluateConfig
from harness.plan import episode_seeds
from harness.records import load_run
from harness.statistics.sequential import first_better, first_precise
from harness.verify import verify

HERE = Path(__file__).parent
WORLD = f"{HERE / 'faulty_worlds.py'}:calm"


def play(out: Path, agent: str = "Walker", **options: Any) -> Evaluation:
    settings: dict[str, Any] = dict(video=0, latency="none", workers=0, n_games=8)
    code = f"{HERE / 'faulty_agents.py'}:{agent}" if agent[0].isupper() else agent
    return evaluate(EvaluateConfig(WORLD, agent=code, out=out, **{**settings, **options}))


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("long") / "run", agent="random", episodes=600).path


def test_it_stops_at_the_first_episode_at_which_the_rule_holds(long_run: Path, tmp_path: Path) -> None:
    stopped = play(tmp_path / "run", agent="random", until_ci=0.1)
    outcomes = [float(bool(record.won)) for record in load_run(long_run).episodes]
    n = first_precise(outcomes, 0.1, 0.05, is_rate=True)
    assert n is not None and 20 < n < 600
    summary = stopped.summary
    assert summary.episodes == n and summary.stop_rule is not None
    assert summary.stop_rule.startswith("reached: win rate known to ±0.1")
    assert summary.win_rate == sum(outcomes[:n]) / n
    assert summary.win_rate_lower is not None and summary.win_rate_upper is not None
    assert summary.win_rate_upper - summary.win_rate_lower <= 0.2
    run = load_run(stopped.path)
    assert [record.episode_seed for record in run.episodes] == episode_seeds(0, n)
    assert len((stopped.path / "episodes.jsonl").read_bytes().splitlines()) == n, (
        "what came too late is not kept"
    )
    assert play(tmp_path / "run", agent="random", until_ci=0.1).resumed


@pytest.mark.parametrize(("workers", "n_games"), [(0, 1), (1, 64), (2, 5)])
def test_the_stopping_point_does_not_depend_on_workers_or_batches(
    tmp_path: Path, workers: int, n_games: int
) -> None:
    reference = play(tmp_path / "a", agent="random", until_ci=0.12)
    other = play(tmp_path / "b", agent="random", until_ci=0.12, workers=workers, n_games=n_games)
    assert other.summary == reference.summary
    for name in ("episodes.jsonl", "summary.json"):
        assert (other.path / name).read_bytes() == (reference.path / name).read_bytes()


def test_a_limit_that_comes_first_is_said(tmp_path: Path) -> None:
    summary = play(tmp_path / "run", agent="random", until_ci=0.01, episodes=30).summary
    assert summary.episodes == 30 and str(summary.stop_rule).startswith("not reached: ")


def test_better_than_another_run_on_the_same_episodes(long_run: Path, tmp_path: Path) -> None:
    stopped = play(tmp_path / "run", until_better_than=long_run)
    theirs = load_run(long_run).episodes
    ours = load_run(play(tmp_path / "all", episodes=600).path).episodes
    n = first_better(*([float(bool(r.won)) for r in side] for side in (ours, theirs)), 0.05)
    assert n is not None and stopped.summary.episodes == n
    assert str(stopped.summary.stop_rule).startswith("reached: better than random")
    with pytest.raises(MismatchError, match="scenario"):
        evaluate(EvaluateConfig("3m", agent="random", until_better_than=long_run, out=tmp_path / "x"))


def test_a_stopped_run_can_be_verified(tmp_path: Path) -> None:
    path = play(tmp_path / "run", agent="random", until_ci=0.12).path
    assert all(check.passed for check in verify(path, 2, 0))

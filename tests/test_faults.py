"""Worlds that crash, hang and die, agents that misbehave: a typed record of that episode, and nothing else is lost."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import descendants as processes
import pytest

from env_adapters.errors import AgentError, SimulatorError
from harness.evaluate import Evaluation, evaluate
from harness.options import EvaluateConfig
from harness.plan import episode_seeds
from harness.records import load_incidents, load_run

HERE = Path(__file__).parent
SEEDS = episode_seeds(0, 24)


def play(out: Path, world: str = "calm", agent: str = "Walker", **options: Any) -> Evaluation:
    """24 episodes of the toy world, four at a time."""
    settings: dict[str, Any] = dict(
        episodes=24, n_games=4, workers=1, video=0, latency="none", timeout_s=60.0
    )
    return evaluate(
        EvaluateConfig(
            f"{HERE / 'faulty_worlds.py'}:{world}",
            agent=f"{HERE / 'faulty_agents.py'}:{agent}",
            out=out,
            **{**settings, **options},
        )
    )


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """Records of the world without faults, by seed."""
    path = play(tmp_path_factory.mktemp("calm") / "run", workers=0).path
    return {record.episode_seed: record for record in load_run(path).episodes}


def check_others(evaluation: Evaluation, calm: dict[int, Any], broken: set[int], words: str) -> None:
    """The broken episodes carry the error, every other one is as in the calm world."""
    records = load_run(evaluation.path).episodes
    assert [record.episode_seed for record in records] == SEEDS
    assert {record.episode_seed for record in records if record.error is not None} == broken
    for record in records:
        if record.error is None:
            assert record == calm[record.episode_seed]
        else:
            assert words in record.error and not record.won
    assert evaluation.summary.crashed == len(broken) and evaluation.summary.episodes == 24
    wins = sum(bool(record.won) for record in records)
    assert evaluation.summary.wins == wins and evaluation.summary.win_rate == wins / 24


def of_every(n: int) -> set[int]:
    return {seed for seed in SEEDS if seed % n == 0}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_of_the_simulator_costs_its_episode(
    tmp_path: Path, calm: dict[int, Any], workers: int
) -> None:
    evaluation = play(tmp_path / "run", "Faulty", workers=workers, retries=1)
    check_others(evaluation, calm, of_every(4), "simulator: RuntimeError: the simulator lost its connection")
    given_up = [i for i in load_incidents(tmp_path / "run") if i.then == "given up"]
    assert {seed for i in given_up for seed in i.episode_seeds} == of_every(4)
    assert all(incident.attempt == 2 for incident in given_up), "tried again once, as --retries 1 says"


@pytest.mark.parametrize(("world", "every"), [("Dying", 4), ("Segfault", 8)])
def test_a_process_that_dies_costs_its_episode(
    tmp_path: Path, calm: dict[int, Any], world: str, every: int
) -> None:
    evaluation = play(tmp_path / "run", world, workers=2, retries=0)
    check_others(evaluation, calm, of_every(every), "simulator: the process was killed by signal")


def test_a_crash_that_does_not_repeat_itself_costs_nothing(
    tmp_path: Path, calm: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counters").mkdir()
    monkeypatch.setenv("HARNESS_TEST_COUNTERS", str(tmp_path / "counters"))
    evaluation = play(tmp_path / "run", "DyingTwice")
    check_others(evaluation, calm, set(), "")
    assert evaluation.n_incidents > 0 and load_incidents(tmp_path / "run")


def test_a_hanging_simulator_is_killed(tmp_path: Path, calm: dict[int, Any]) -> None:
    evaluation = play(tmp_path / "run", "Hanging", workers=2, retries=0, timeout_s=1.5)
    check_others(evaluation, calm, of_every(8), "simulator: no progress for 1.5 s while the simulator worked")


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Nan", "expected one whole number"),
        ("WrongShape", "int64 of shape (3,), expected one whole number"),
        ("Unavailable", "action 7 of agent 0"),
        ("Raising", "raised ZeroDivisionError: a bug in the agent"),
        ("Exiting", "raised SystemExit: enough"),
        ("Printing", "File too large"),
    ],
)
def test_a_misbehaving_agent_loses_the_episode_in_which_it_misbehaves(
    tmp_path: Path, calm: dict[int, Any], agent: str, words: str
) -> None:
    evaluation = play(tmp_path / "run", agent=agent)
    broken = {record.episode_seed for record in load_run(evaluation.path).episodes if record.error}
    assert 0 < len(broken) < 24, "the fault must occur in some episodes and not in all"
    check_others(evaluation, calm, broken, words)
    assert all("agent: " in str(r.error) for r in load_run(evaluation.path).episodes if r.error)
    assert all(incident.attempt <= 1 for incident in load_incidents(evaluation.path)), "no retry of a mistake"


def test_an_agent_that_thinks_forever_is_killed(tmp_path: Path, calm: dict[int, Any]) -> None:
    evaluation = play(tmp_path / "run", agent="Looping", timeout_s=1.5, workers=2)
    broken = {record.episode_seed for record in load_run(evaluation.path).episodes if record.error}
    assert 0 < len(broken) < 24
    check_others(evaluation, calm, broken, "agent: no progress for 1.5 s while the agent chose an action")


def test_a_reward_that_is_no_number_costs_its_episode(tmp_path: Path, calm: dict[int, Any]) -> None:
    evaluation = play(tmp_path / "run", "NoReward", retries=0)
    check_others(evaluation, calm, of_every(4), "is not finite; check the simulator")


def test_episodes_that_broke_off_can_be_left_out(tmp_path: Path, calm: dict[int, Any]) -> None:
    summary = play(tmp_path / "run", "Faulty", retries=0, on_crash="exclude").summary
    kept = [record for seed, record in calm.items() if seed % 4]
    assert (summary.episodes, summary.crashed) == (24, len(of_every(4)))
    assert summary.win_rate == sum(bool(r.won) for r in kept) / len(kept)


def test_repair_plays_episodes_again_that_broke_off(
    tmp_path: Path, calm: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counters").mkdir()
    monkeypatch.setenv("HARNESS_TEST_COUNTERS", str(tmp_path / "counters"))
    first = play(tmp_path / "run", "DyingTwice", retries=0, workers=2)
    assert first.summary.crashed > 0
    again = play(tmp_path / "run", "DyingTwice", retries=3, repair=True)
    check_others(again, calm, set(), "")


def test_when_every_episode_breaks_off_the_evaluation_says_so(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"every one of 24 episodes broke off.*returned int"):
        play(tmp_path / "run", agent="NoPair")
    assert len(load_run(tmp_path / "run").episodes) == 24


def test_what_cannot_be_started_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=r"cannot be played: the process ended with code 3"):
        play(tmp_path / "run", "unstartable")
    with pytest.raises(AgentError, match="KeyError"):
        play(tmp_path / "other", agent="unbuildable")


def test_no_process_is_left_over(tmp_path: Path) -> None:
    play(tmp_path / "run", "Hanging", workers=2, retries=0, timeout_s=1.0)
    assert not multiprocessing.active_children()
    assert not processes.workers(), "also none that the server process started"

"""Deadlines: what is played for those who are late, what becomes of their answers, and what is counted.

The agents sleep as long as their observation says; sleeps and deadlines are far apart, so that a busy machine does
not change what happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.noop import noop_spec
from env_adapters.errors import AgentError, InvalidValueError
from harness.decentralized import DecentralizedTeam
from harness.team import TeamSource

SLEEPING = TeamSource(f"{Path(__file__).with_name('latency_policies.py')}:sleeping")
DRIFTING = TeamSource(f"{Path(__file__).with_name('latency_policies.py')}:drifting")
SPEC = replace(noop_spec(2), action_size=60)
DEADLINE_MS = 300.0
LONG_S = 0.75
"""Begun at one step, it ends during the second step after that."""
ANY = None
NOT_FIRST = np.ones((1, 2, 60), dtype=np.bool_)
NOT_FIRST[:, 1, :5] = False
"""Agent 1 may play 5 and more."""


def begin(team: DecentralizedTeam) -> None:
    team.begin(np.array([7]), np.array([0]))


def act(team: DecentralizedTeam, sleep_s: float, mask: np.ndarray | None = ANY) -> list[int]:
    """The joint action where only agent 1 sleeps."""
    observations = np.zeros((1, 2, SPEC.observation_size), dtype=np.float32)
    observations[0, 1, 0] = sleep_s
    actions: list[int] = team.act(observations, mask)[0].tolist()
    return actions


@pytest.fixture(scope="module")
def repeating() -> Iterator[DecentralizedTeam]:
    with DecentralizedTeam("noop", SLEEPING, SPEC, late=(DEADLINE_MS, "repeat"), n_warmup=2) as team:
        yield team


def test_late_actions_are_noops_and_the_late_agent_goes_on_with_the_newest_observation() -> None:
    with DecentralizedTeam("noop", SLEEPING, SPEC, late=(DEADLINE_MS, "noop"), n_warmup=2) as team:
        begin(team)
        played = [act(team, 0.0), act(team, LONG_S, NOT_FIRST)]
        played += [act(team, 0.0, mask) for mask in (NOT_FIRST, ANY, ANY)]
        report = team.report()
        assert team.rounds is not None and team.rounds.late_actions.tolist() == [0, 2]
    assert [first for first, _ in played] == [1, 12, 23, 34, 45]
    # It saw steps 0 and 1, was late for 1 and 2, and what it said about step 1 was never played.
    assert [second for _, second in played] == [1, 5, 5, 24, 35]
    assert (report.scenario, report.n, report.n_warmup, report.late_share) == ("deadline", 5, 2, 0.2)
    assert report.max_us == report.agents[1].max_us == DEADLINE_MS * 1000
    assert 0 < report.agents[0].max_us < DEADLINE_MS * 1000
    assert report.transport_p50_us is None and report.p50_us is None and report.compile_us > 0


def test_late_actions_are_repeated_where_that_is_allowed(repeating: DecentralizedTeam) -> None:
    begin(repeating)
    played = [act(repeating, 0.0), act(repeating, LONG_S), act(repeating, 0.0, NOT_FIRST)]
    assert [second for _, second in played] == [1, 1, 5]
    assert act(repeating, 0.0)[1] == 24


def test_a_new_episode_waits_for_the_late_and_knows_nothing_of_the_last(repeating: DecentralizedTeam) -> None:
    begin(repeating)
    act(repeating, 0.0)
    assert act(repeating, LONG_S)[1] == 1
    begin(repeating)
    assert act(repeating, LONG_S)[1] == 0, "nothing to repeat yet"
    begin(repeating)
    assert act(repeating, 0.0) == [1, 1]


def test_an_agent_that_fails_late_is_named_with_its_own_step(repeating: DecentralizedTeam) -> None:
    begin(repeating)
    with pytest.raises(AgentError, match="agent 1 at step 0 raised ValueError: slept badly"):
        for _ in range(5):
            act(repeating, -LONG_S)
    begin(repeating)
    assert act(repeating, 0.0) == [1, 1]
    act(repeating, -LONG_S)
    begin(repeating)
    assert act(repeating, 0.0) == [1, 1], "a failure after the episode's end concerns nobody"


def test_an_agent_that_stays_late_is_ended() -> None:
    late = (100.0, "noop")
    with DecentralizedTeam("noop", SLEEPING, SPEC, late=late, timeout_s=0.5, n_warmup=1) as team:
        begin(team)
        with pytest.raises(AgentError, match=r"agent 1 at step \d+ gave no answer within 0.5 s"):
            for step in range(100):
                act(team, 60.0 if step else 0.0)
        begin(team)
        assert act(team, 0.0)[1] == 1


def test_late_robots_apply_no_torque() -> None:
    spec = replace(SPEC, action_kind="continuous", action_size=3)
    with DecentralizedTeam("noop", DRIFTING, spec, late=(DEADLINE_MS, "noop"), n_warmup=1) as team:
        begin(team)
        assert act(team, 0.0) == [[1.0] * 3, [1.0] * 3]
        assert act(team, LONG_S) == [[1.0] * 3, [0.0] * 3]


@pytest.mark.parametrize(
    ("late", "words"),
    [
        ((0.0, "noop"), "deadline of 0 ms"),
        ((float("nan"), "noop"), "deadline of nan ms"),
        ((5.0, "stop"), "'stop' is none of: noop, repeat"),
    ],
)
def test_impossible_deadlines_are_refused(late: tuple[float, str], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        DecentralizedTeam("noop", SLEEPING, SPEC, late=late)  # type: ignore[arg-type]

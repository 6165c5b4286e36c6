"""A process per agent: the same episodes as in one call, own bytes only, and no failure without a name or an end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.noop import noop_spec
from env_adapters import scenarios
from env_adapters.errors import ActionError, AgentError, HarnessError, InvalidValueError, UnknownNameError
from env_adapters.rollout import Episode, Recording, play
from harness.decentralized import DecentralizedTeam
from harness.processes import descendants, is_alive
from harness.team import TeamSource, load_team

PROJECT = Path(__file__).resolve().parents[1]
POLICIES = Path(__file__).with_name("latency_policies.py")
SPEC = noop_spec(2)


def code(name: str) -> TeamSource:
    return TeamSource(f"{POLICIES}:{name}")


def observed(first: float = 0.0, n_agents: int = 2) -> np.ndarray:
    """[1, N, D], with this number in front."""
    observations = np.zeros((1, n_agents, SPEC.observation_size), dtype=np.float32)
    observations[..., 0] = first
    return observations


def begin(team: DecentralizedTeam, episode_seed: int = 0) -> None:
    team.begin(np.array([episode_seed]), np.array([0]))


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """The fork server and the resource tracker stay; nothing else does."""
    yield
    left = [pid for pid in descendants() if b"forkserver" not in command(pid) or has_guard(pid)]
    assert [pid for pid in left if b"resource_tracker" not in command(pid)] == []


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() if is_alive(pid) else b"resource_tracker"


def has_guard(pid: int) -> bool:
    """Whether it leads a group of its own, as children do and their server does not."""
    return os.getpgid(pid) == pid


def same(a: Episode, b: Episode) -> bool:
    return (a.seed, a.rewards, a.won, a.final_hash) == (b.seed, b.rewards, b.won, b.final_hash) and all(
        np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a.actions, b.actions, strict=True)
    )


@pytest.mark.parametrize(
    ("map_name", "source", "seeds"),
    [
        ("5m_vs_6m", TeamSource("vgm2p"), [3]),
        ("3m", TeamSource("ppo-good"), [3, 4]),
        ("3hopper", TeamSource("ppo-expert"), [3]),
        ("3m", TeamSource("random"), [3, 4]),
        ("3m", code("remembering"), [3, 4]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_episodes_equal_those_of_all_agents_in_one_call(
    map_name: str, source: TeamSource, seeds: list[int]
) -> None:
    if map_name == "3hopper":
        pytest.importorskip("mujoco")
    recording = Recording(transitions=True)
    with scenarios.make_vector(map_name, 1) as env:
        together = list(play(env, load_team(map_name, env.spec, source).vector(1), seeds, recording))
        with DecentralizedTeam(map_name, source, env.spec) as team:
            alone = list(play(env, team, seeds, recording))
            assert len(set(team.pids)) == env.spec.n_agents and os.getpid() not in team.pids
    assert [episode.seed for episode in alone] == seeds
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    assert sum(episode.length for episode in alone) - 1 == len(team.times)


def test_every_agent_gets_its_own_bytes_and_steps_and_memory_start_anew() -> None:
    spec = replace(noop_spec(3), action_size=1000)
    with DecentralizedTeam("noop", code("telling"), spec) as team:
        for _ in range(2):
            begin(team)
            for step in range(3):
                observations = np.zeros((1, 3, spec.observation_size), dtype=np.float32)
                observations[0, :, 0] = [1, 2, 3]
                mask = np.ones((1, 3, 1000), dtype=np.bool_)
                assert team.act(observations, mask).tolist() == [[k + 11 * step for k in (100, 200, 300)]]
        assert team.act(observations, None).tolist() == [[133, 233, 333]]


TROUBLES = [
    ("raising", AgentError, r"agent 1 at step 3 raised KeyError: 'nothing here'"),
    ("leaving", AgentError, r"agent 1 at step 3 raised SystemExit: 4"),
    ("dying", AgentError, r"process of agent 1 at step 3 ended \(exit code 5\)"),
    ("killed", AgentError, r"process of agent 1 at step 3 ended \(killed by SIGKILL\)"),
    ("escaping", AgentError, r"agent 1 at step 3 gave no answer within 1 s"),
    ("choosing_nonsense", ActionError, r"agent 1 of noop-v1 at step 3"),
    ("choosing_half", ActionError, r"agent 1 of noop-v1 at step 3"),
    ("choosing_unavailable", ActionError, r"action 1 of agent 1 of noop-v1 at step 3 is not available"),
]


@pytest.mark.parametrize(("name", "kind", "words"), TROUBLES, ids=[name for name, _, _ in TROUBLES])
def test_trouble_is_named_and_the_next_episode_goes_on(
    name: str, kind: type[HarnessError], words: str
) -> None:
    mask = np.zeros((1, 2, SPEC.action_size), dtype=np.bool_)
    mask[..., 0] = True
    with DecentralizedTeam("noop", code(name), SPEC, timeout_s=1.0) as team:
        begin(team)
        before = team.pids
        for _ in range(3):
            team.act(observed(), mask)
        with pytest.raises(kind, match=words) as caught:
            team.act(observed(), mask)
        assert "\n" not in str(caught.value)
        assert not is_alive(before[1]), "whoever failed is gone at once"
        begin(team, 1)
        assert team.pids[0] == before[0] and team.pids[1] != before[1]
        for _ in range(5):
            assert team.act(observed(-1.0), mask).tolist() == [[0, 0]]


def test_an_idle_process_that_dies_is_noticed() -> None:
    with DecentralizedTeam("noop", code("telling"), SPEC) as team:
        begin(team)
        os.kill(team.pids[0], 9)
        with pytest.raises(AgentError, match=r"agent 0 at step 0 ended \(killed by SIGKILL\)"):
            for _ in range(1000):
                team.act(observed(), None)
        begin(team)
        assert team.act(observed(), None).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (code("nobody"), UnknownNameError, "no callable 'nobody'"),
        (code("unmakeable"), AgentError, "cannot be made for agent 1 of noop-v1: ValueError: no weights"),
        (TeamSource("no_such_file.py:make"), UnknownNameError, "there is no file"),
        (TeamSource(checkpoint="none.safetensors"), UnknownNameError, r"none\.safetensors"),
    ],
)
def test_a_team_that_cannot_be_loaded_says_why(
    source: TeamSource, kind: type[HarnessError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        DecentralizedTeam("noop", source, SPEC)


def test_paths_count_from_the_folder_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(POLICIES.read_text())
    monkeypatch.chdir(tmp_path)
    with DecentralizedTeam("noop", TeamSource("mine.py:telling"), SPEC) as team:
        begin(team)
        assert team.act(observed(), None).tolist() == [[0, 0]]


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="time limit of 0 s"):
        DecentralizedTeam("noop", code("telling"), SPEC, timeout_s=0.0)


PARENT = """
import os, sys, numpy as np
from benchmarks.noop import noop_spec
from harness.decentralized import DecentralizedTeam
from harness.processes import descendants
from harness.team import TeamSource
if __name__ == "__main__":
    team = DecentralizedTeam("noop", TeamSource(sys.argv[1]), noop_spec(2), late=(200.0, "noop"), n_warmup=1)
    team.begin(np.array([0]), np.array([0]))
    for _ in range(6):
        team.act(np.zeros((1, 2, 55), dtype=np.float32), None)
    print(*descendants(), flush=True)
    os.kill(os.getpid(), 9)
"""


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    """One agent is idle then; the other one and a process it started are busy for ever."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    answer = subprocess.run(
        [sys.executable, str(script), f"{POLICIES}:hanging"],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    pids = [int(pid) for pid in answer.stdout.split()]
    assert answer.returncode == -9 and len(pids) >= 4, answer.stderr
    limit = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < limit:
        time.sleep(0.02)
    assert [pid for pid in pids if is_alive(pid)] == []

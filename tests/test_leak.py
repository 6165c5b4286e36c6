"""The leak check: what it must catch, what it must let pass, and when it must not say yes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import leaky_agents
import numpy as np
import pytest
import torch
from torch import Tensor

from agents.acting import BatchedTeam
from agents.controls import Noop
from agents.policies import PolicyTeam
from env_adapters import scenarios
from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamPolicy, TeamSpec
from env_adapters.errors import InvalidValueError
from env_adapters.rollout import Episode, Recording, play
from harness import cli
from harness.errors import run_command
from harness.leak import LeakReport, check_leak, check_processes
from harness.leak.histories import History, Pool, keep_sets
from harness.leak.inside import digest
from harness.leak.ledger import Ledger
from harness.leak.perturb import PERTURBATIONS, perturbed
from harness.team import Team, TeamSource, load_team

torch.set_num_threads(1)
PROJECT = Path(__file__).resolve().parents[1]
AGENTS = Path(__file__).with_name("leaky_agents.py")


def load(agent: str | None, map_name: str = "3m") -> tuple[Team, Any]:
    world = scenarios.make_vector(map_name, 1)
    return load_team(map_name, world.spec, TeamSource(agent)), world


def record(team: Team, world: Any, seed: int = 11) -> Episode:
    return next(play(world, team.vector(1), [seed], Recording(transitions=True)))


def checked(agent: str | None, map_name: str = "3m", steps: int | None = 20) -> LeakReport:
    team, world = load(agent, map_name)
    with world:
        return check_leak(team, [record(team, world)], world, steps=steps)


def planted(name: str, **options: Any) -> LeakReport:
    return checked(f"{AGENTS}:{name}", **options)


@pytest.mark.parametrize("name", leaky_agents.LEAKY)
def test_every_planted_leak_is_caught(name: str) -> None:
    report = planted(name)
    assert report.is_decentralized is False and report.line.startswith("no: agents 0, 1, 2 ")
    wanted = {"global_state": "world", "environment_handle": "world"}.get(name, "teammates")
    assert {f.agent for f in report.findings if f.channel == wanted and f.what == "action"} == {0, 1, 2}


@pytest.mark.parametrize("name", leaky_agents.LEAKY)
def test_planted_leaks_of_robots_are_caught(name: str) -> None:
    assert planted(name, map_name="6halfcheetah", steps=5).is_decentralized is False


@pytest.mark.parametrize("name", leaky_agents.HONEST)
@pytest.mark.parametrize("map_name", ["3m", "3hopper"])
def test_honest_code_passes(name: str, map_name: str) -> None:
    report = planted(name, map_name=map_name)
    assert report.is_decentralized is True, report.findings
    assert report.n_tested == report.n_views == 60 and not report.skipped
    assert report.line == "yes (60 views)"


@pytest.mark.parametrize(
    ("map_name", "agent"),
    [
        ("3m", "ppo-good"),
        ("3m", "random"),
        ("3m", "noop"),
        ("3m", "nearest"),
        ("5m_vs_6m", "vgm2p"),
        ("5m_vs_6m", "bc-meanflow"),
        ("6halfcheetah", "ppo-expert"),
        ("3hopper", "ppo-expert"),
    ],
)
def test_shipped_agents_pass(map_name: str, agent: str) -> None:
    report = checked(agent, map_name)
    assert report.is_decentralized is True, report.findings
    assert report.n_tested == report.n_views > 0 and not report.skipped


def test_a_leak_at_one_step_is_found_there() -> None:
    report = planted("only_at_step_five")
    assert report.findings and {finding.step for finding in report.findings} == {5}
    assert not any(finding.channel == "repeat" for finding in report.findings)


def test_the_only_spy_of_a_team_is_named() -> None:
    report = planted("only_one_agent")
    assert {finding.agent for finding in report.findings} == {1}
    assert report.line == "no: agent 1 acts on teammates' observations"


def test_a_leak_that_flips_no_action_is_found_in_the_memory() -> None:
    report = planted("without_a_flip")
    assert report.is_decentralized is False
    assert {finding.what for finding in report.findings} == {"inside"}


def test_state_kept_between_episodes_is_a_finding_of_its_own() -> None:
    report = planted("own_earlier_episodes", steps=None)
    channels = {finding.channel for finding in report.findings}
    assert "episodes" in channels and not channels & {"teammates", "memory", "world"}


@pytest.mark.slow
def test_notes_in_a_file_are_caught() -> None:
    assert planted("through_a_file", steps=8).is_decentralized is False


class Wrapped:
    """A team whose actions somebody changes: change(observations, actions) -> actions."""

    def __init__(self, inner: TeamPolicy, change: Callable[[FloatArray, ActionArray], ActionArray]) -> None:
        self.inner, self.change = inner, change

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        self.inner.begin(episode_seeds, games)

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        return self.change(observations, self.inner.act(observations, available_actions))


def wrapped(change: Callable[[FloatArray, ActionArray], ActionArray]) -> LeakReport:
    """Check the robots' noop team with changed torques."""
    honest, world = load("noop", "3hopper")
    team = replace(honest, vector=lambda n_games: Wrapped(honest.vector(n_games), change))
    with world:
        return check_leak(team, [record(team, world)], world, steps=10)


def test_a_whole_team_that_mixes_rows_of_other_games_is_caught() -> None:
    def first_game(observations: FloatArray, actions: ActionArray) -> ActionArray:
        return (actions + 0.1 * np.tanh(observations[:1, :, :1])).astype(np.float32)

    report = wrapped(first_game)
    assert {finding.channel for finding in report.findings} == {"games"}


def test_a_team_that_keeps_the_array_of_everybody_is_caught() -> None:
    kept: list[FloatArray] = []

    def keep(observations: FloatArray, actions: ActionArray) -> ActionArray:
        last = kept[-1] if kept and kept[-1].shape == observations.shape else observations
        kept.append(observations)
        return (actions + 0.1 * np.tanh(last[..., :1])).astype(np.float32)

    assert "arrays" in {finding.channel for finding in wrapped(keep).findings}


def test_agents_that_write_into_a_shared_array_are_caught() -> None:
    def spill(observations: FloatArray, actions: ActionArray) -> ActionArray:
        observations[:, 1:] += observations[:, :-1]
        return (actions + 0.1 * np.tanh(observations[..., :1])).astype(np.float32)

    report = wrapped(spill)
    assert {f.agent for f in report.findings if f.channel == "teammates"} == {1, 2}


def test_the_last_bit_of_a_torque_counts() -> None:
    def whisper(observations: FloatArray, actions: ActionArray) -> ActionArray:
        bit = (np.roll(observations[..., :1], 1, axis=1) > 1.0).astype(np.uint32)
        base = np.full(actions.shape, 0.5, dtype=np.float32)
        return (base.view(np.uint32) + bit).view(np.float32)

    assert "teammates" in {finding.channel for finding in wrapped(whisper).findings}


def test_an_agent_that_does_not_repeat_itself_is_not_called_a_spy() -> None:
    rng = np.random.default_rng()

    def roll(observations: FloatArray, actions: ActionArray) -> ActionArray:
        return rng.uniform(-1, 1, actions.shape).astype(np.float32)

    report = wrapped(roll)
    assert report.line == "no: agents 0, 1, 2 do not repeat themselves"
    assert not {"teammates", "memory", "world"} & {finding.channel for finding in report.findings}


class Whisper(Noop):
    """Every row of the network hears the mean of all rows, far below what could flip a choice."""

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        heard = inputs * 1.0 + 1e-6 * inputs.mean(dim=0)
        assert heard.isfinite().all()
        return super().act_batch(params, heard, available, noise, mode)


def test_a_leak_inside_a_network_is_seen_before_it_flips_an_action() -> None:
    honest, world = load("noop")
    agent = Whisper(Noop.Config(), world.spec)
    team = replace(honest, vector=lambda n_games: BatchedTeam(agent, {}, n_games))
    with world:
        report = check_leak(team, [record(team, world)], world)
    assert report.is_decentralized is False
    assert {finding.what for finding in report.findings} == {"inside"}
    assert {"teammates"} <= {finding.channel for finding in report.findings}


def test_replacements_that_change_nothing_are_no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    team, world = load("noop", "3hopper")
    with world:
        episode = record(team, world)
        same = replace(episode, observations=[episode.observations[0]] * len(episode.observations))
        for words in list(PERTURBATIONS):
            if words not in ("teammates saw other moments", "teammates had another past"):
                monkeypatch.delitem(PERTURBATIONS, words)
        report = check_leak(team, [same], world, steps=10)
        monkeypatch.undo()
        whole = check_leak(team, [same], world, steps=10)
    assert not report.findings and report.n_tested == 0 and report.n_views == 30
    assert report.is_decentralized is None
    assert report.line == "not shown (0 of 30 views could be tested)"
    assert whole.line == "yes (30 views)", "noise is always different"


def test_a_view_counts_only_when_every_teammate_was_replaced_beside_it() -> None:
    ledger = Ledger(3)
    ledger.begin(replace(sample(), rewards=sample().rewards[:4]))
    changed = np.zeros((4, 3, 3), dtype=np.bool_)  # one run per agent that is kept
    changed[0] = True  # at step 0 everybody else is replaced in every run
    changed[1, :, 0] = True  # at step 1 only agent 0 is
    changed[2, 0] = True  # at step 2 only in the run of agent 0
    changed[:, range(3), range(3)] = False
    ledger.cover(changed, keep_sets(3))
    report = ledger.report()
    assert (report.n_views, report.n_tested) == (12, 3 + 0 + 1 + 0)
    assert report.line == "not shown (4 of 12 views could be tested)"


class Fragile(leaky_agents.Base):
    """Honest, but fails on what no world would show it."""

    limit = 1.5

    def think(self, view: Any, memory: Any) -> tuple[float, Any]:
        if np.abs(view.observation).max() > self.limit:
            raise ValueError("this is no observation of mine")
        return leaky_agents.own(view), None


def with_code(make: Callable[[TeamSpec, int], Any], then: Callable[[], None] = lambda: None) -> LeakReport:
    """Check policies that this file makes; `then` is called between recording and check."""
    honest, world = load("noop")
    spec = world.spec
    team = replace(honest, vector=lambda n: PolicyTeam([make(spec, i) for i in range(3)], spec, n))
    with world:
        episode = record(team, world)
        then()
        return check_leak(team, [episode], world, steps=20)


def test_a_policy_that_fails_on_noise_is_checked_without_it() -> None:
    report = with_code(Fragile)
    assert report.is_decentralized is True
    assert any("saw noise" in words and "no observation of mine" in words for words in report.skipped)


def test_a_policy_that_fails_on_every_replacement_is_not_called_decentralised() -> None:
    seen: set[tuple[int, int, bytes]] = set()
    grown: list[bool] = []

    class OnlyTheTruth(leaky_agents.Base):
        def think(self, view: Any, memory: Any) -> tuple[float, Any]:
            key = (view.step, view.agent_index, view.observation.tobytes())
            if grown and key not in seen:
                raise ValueError("never seen before")
            seen.add(key)
            return leaky_agents.own(view), None

    report = with_code(OnlyTheTruth, lambda: grown.append(True))
    assert not report.findings and report.n_tested < report.n_views == 60
    assert report.is_decentralized is None and "not shown" in report.line
    assert any("never seen before" in words for words in report.skipped)


def test_recordings_without_transitions_are_refused() -> None:
    team, world = load("noop")
    with world, pytest.raises(InvalidValueError, match="Recording"):
        check_leak(team, list(play(world, team.vector(1), [1])), world)


@pytest.mark.parametrize("n_agents", [2, 3, 8, 9, 24, 27])
def test_every_pair_of_agents_is_separated_by_some_run(n_agents: int) -> None:
    keep = keep_sets(n_agents)
    separated = (keep[:, :, None] & ~keep[:, None, :]).any(axis=0)
    assert separated[~np.eye(n_agents, dtype=np.bool_)].all()
    assert len(keep) <= 10


@cache
def sample() -> Episode:
    team, world = load("random")
    with world:
        return record(team, world)


@pytest.mark.parametrize("words", PERTURBATIONS)
def test_perturbations_leave_the_kept_alone_and_an_action_to_everybody(words: str) -> None:
    keep = keep_sets(3)
    base = History.of(sample()).repeated(3)
    rng = np.random.default_rng(0)
    other, changed = perturbed(PERTURBATIONS[words], base, keep, Pool.of([sample()]), rng)
    assert base.masks is not None and other.masks is not None
    np.testing.assert_array_equal(other.observations[:, keep], base.observations[:, keep])
    np.testing.assert_array_equal(other.masks[:, keep], base.masks[:, keep])
    assert other.masks.any(axis=-1).all()
    assert not changed[:, keep].any() and changed[:, ~keep].any()
    differs = (other.observations != base.observations).any(-1) | (other.masks != base.masks).any(-1)
    np.testing.assert_array_equal(changed, differs)


def test_digests_tell_values_apart_and_nothing_else() -> None:
    values: list[Any] = [
        None, 0, 1, 1.0, -0.0, "1", b"1", (1,), [1], {"a": 1}, {"a": 2}, np.zeros(3), np.zeros(3, np.float32),
        np.zeros((3, 1)), torch.zeros(3), torch.ones(3), (np.ones(2), "x"), np.float32(1.0), ((1,), 2), (1, (2,)),
    ]  # fmt: skip
    digests = [digest(value) for value in values]
    assert len(set(digests) - {digest(np.zeros(3, np.float32))}) >= len(values) - 2
    assert digest((np.ones(2), {"h": torch.ones(2)})) == digest((np.ones(2), {"h": torch.ones(2)}))
    assert digest(object()) == digest([1, object()]) == 0
    loop: list[Any] = []
    loop.append(loop)
    assert digest(loop) == 0


def test_alone_in_processes_honest_agents_do_the_same_and_spies_do_not() -> None:
    for name, channels in (("recurrent", set()), ("class_attribute", {"process"})):
        team, world = load(f"{AGENTS}:{name}")
        with world:
            found = check_processes(team, record(team, world))
        assert {finding.channel for finding in found} == channels, found


@pytest.mark.parametrize("name", leaky_agents.LEAKY)
def test_the_command_catches_every_plant(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "check",
        "leak",
        "--map",
        "3m",
        "--agent",
        f"{AGENTS}:{name}",
        "--episodes",
        "1",
        "--steps",
        "12",
    ]
    assert run_command(lambda: cli.run(command)) == 14
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("decentralised: no: agents 0, 1, 2")
    assert err.splitlines()[-1].startswith("harness: error: decentralised: no: agents 0, 1, 2")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*leaky_agents.LEAKY, *leaky_agents.HONEST])
def test_the_command_as_a_user_types_it(name: str) -> None:
    command = [sys.executable, "-m", "harness", "check", "leak", "--map", "3m", "--episodes", "1"]
    command += ["--processes", "--agent"]
    done = subprocess.run(
        [*command, f"tests/leaky_agents.py:{name}"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if name in leaky_agents.HONEST else 14), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("", 2, "name a check: leak, adapter"),
        ("leek --map 3m", 3, "did you mean leak"),
        ("leak", 2, "--map is missing"),
        ("leak --map 3m --episodes 0", 6, "--episodes is 0"),
        ("leak --map 3m --steps 0", 6, "--steps is 0"),
        ("leak --map 3m --seed -1", 6, "--seed is -1"),
        ("leak --map 3m --agent nope", 3, "unknown agent 'nope'"),
        ("adapter --map nope", 3, "unknown map 'nope'"),
        ("adapter --map 3m --steps 0", 6, "--steps is 0"),
    ],
)
def test_wrong_commands(arguments: str, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lambda: cli.run(["check", *arguments.split()])) == code
    assert words in capsys.readouterr().err


def test_an_adapter_is_checked_and_a_broken_one_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.run(["check", "adapter", "--map", "3m", "--steps", "8"]) == 0
    assert "keeps the contract" in capsys.readouterr().out
    kind = type(scenarios.make_vector("3m", 1))
    monkeypatch.setattr(kind, "state", lambda self: np.zeros((self.n_games, 3), dtype=np.float32))
    assert run_command(lambda: cli.run(["check", "adapter", "--map", "3m", "--steps", "8"])) == 14
    assert "3m-v1 breaks the contract: " in capsys.readouterr().err

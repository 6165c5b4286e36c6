"""`harness bench flavours`: what one policy scores in every flavour of its robot.

The policy is one of the shipped behaviour policies, trained in the omiga flavour. In another flavour it is shown what
it would have seen there: the robot's own observation, in the omiga layout, with the contact forces as zeros. So only
physics, rewards and ends differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from env_adapters import scenarios
from env_adapters.api import ActionArray, DoubleArray, FloatArray, VectorEnv
from env_adapters.bounds import check_at_least
from env_adapters.errors import InvalidValueError, MismatchError
from env_adapters.mamujoco.robots import DATASET_TEAMS, GYMNASIUM, OMIGA, ROBOTICS
from harness.commands.bench import Report
from harness.jobs import one_torch_thread
from harness.plan import episode_seeds
from harness.progress import Say

if TYPE_CHECKING:
    from agents.checkpoints import Checkpoint

_WRAPPED: Final = {"6halfcheetah": "halfcheetah_6x1", "3hopper": "hopper_3x1", "2ant": "ant_2x4d"}
"""gymnasium-robotics' partition of the same joints; in `ant_2x4d` the first agent's legs are swapped."""
_Z95: Final = 1.96


@dataclass(frozen=True)
class Config:
    """The score of one policy in the three flavours of a robot, beside each other."""

    maps: tuple[str, ...] = tuple(DATASET_TEAMS)
    """Robots: 6halfcheetah, 3hopper, 2ant."""
    agent: str = "ppo-expert"
    """A shipped checkpoint of the omiga flavour."""
    checkpoint: Path | None = None
    """A checkpoint file instead; give one map with it."""
    episodes: int = 100
    """Episodes per flavour; the same seeds in each."""
    seed: int = 0
    """Root of the episode seeds."""
    json: bool = False
    """Print one JSON object instead of the table."""
    quick: bool = False
    """Two episodes: shows that everything runs, measures nothing."""


@dataclass(frozen=True)
class Score:
    """Returns of one policy in one flavour."""

    scenario: str
    layout: str
    engine: str
    agent_hash: str
    returns: DoubleArray
    """[E]"""
    lengths: DoubleArray
    """[E], steps."""
    native: float
    """Mean return in the omiga flavour."""

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """95 % of the mean return, by the normal approximation; None of a single episode."""
        mean, n = float(self.returns.mean()), len(self.returns)
        if n < 2:
            return None, None
        half = _Z95 * float(self.returns.std(ddof=1)) / n**0.5
        return mean - half, mean + half

    def row(self) -> dict[str, Any]:
        """All of it as JSON values."""
        lower, upper = self.interval
        return {
            "scenario": self.scenario,
            "layout": self.layout,
            "engine": self.engine,
            "agent_hash": self.agent_hash,
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std(ddof=1)) if len(self.returns) > 1 else None,
            "lower": lower,
            "upper": upper,
            "n": len(self.returns),
            "mean_length": float(self.lengths.mean()),
            "relative": float(self.returns.mean()) / self.native,
        }

    def cells(self) -> tuple[object, ...]:
        """The row of the printed table."""
        lower, upper = self.interval
        spread = f" ± {self.returns.std(ddof=1):.1f}" if len(self.returns) > 1 else ""
        return (
            self.scenario,
            self.layout,
            self.engine,
            f"{self.returns.mean():.1f}{spread}",
            "-" if lower is None or upper is None else f"[{lower:.1f}, {upper:.1f}]",
            len(self.returns),
            f"{self.lengths.mean():.0f}",
            f"{self.returns.mean() / self.native - 1:+.1%}",
        )


def run(config: Config, say: Say) -> Report:
    """Play the policy of each map in every flavour.

    Raises:
        UnknownNameError: no such map or agent.
        InvalidValueError: a map that is no dataset robot, or no episodes.
        MismatchError: a policy that was not trained in the omiga flavour.
        MissingExtraError: the simulator is not installed.
    """
    check_at_least("--episodes", config.episodes, 1)
    check_at_least("--seed", config.seed, 0)
    n_episodes = 2 if config.quick else config.episodes
    scores: list[Score] = []
    with one_torch_thread():
        for name in config.maps:
            scores += _scores(scenarios.find(name).name, config, n_episodes, say)
    headers = ("scenario", "layout", "engine", "return", "95 %", "n", "length", "against omiga")
    notes = [
        "± is one standard deviation over episodes, 95 % the interval of the mean; actions are greedy; every flavour plays "
        "the same episode seeds",
        "the policy was trained in the omiga flavour and is shown the omiga layout everywhere; physics, rewards, ends differ",
    ]
    return Report(
        "flavours", config.quick, headers, [s.cells() for s in scores], [s.row() for s in scores], notes
    )


def _scores(name: str, config: Config, n_episodes: int, say: Say) -> list[Score]:
    from harness.team import choose_team

    if name not in DATASET_TEAMS:
        raise InvalidValueError(f"--maps {name} is no dataset robot; choose from {', '.join(DATASET_TEAMS)}")
    with scenarios.make_vector(name, 1, layout=OMIGA) as env:
        team = choose_team(name, env.spec, None if config.checkpoint else config.agent, config.checkpoint)
        if "greedy" not in team.agent.act_modes:
            raise InvalidValueError(
                f"agent '{team.agent.name}' has no greedy actions; give a trained policy, such as ppo-expert"
            )
        if team.agent.spec.layout != OMIGA:
            raise MismatchError(
                f"agent '{team.agent.name}' of layout '{team.agent.spec.layout}' is not of '{OMIGA}'"
            )
    scores: list[Score] = []
    seeds = np.array(episode_seeds(config.seed, n_episodes))
    for scenario, layout in ((name, OMIGA), (name, GYMNASIUM), (_WRAPPED[name], ROBOTICS[0])):
        say(f"playing {scenario} in {layout} ...")
        with scenarios.make_vector(scenario, n_episodes, layout=layout) as env:
            returns, lengths = _play(env, team, name, seeds)
            native = scores[0].native if scores else float(returns.mean())
            spec = env.spec
            scores.append(
                Score(spec.scenario, layout, spec.engine, team.weights_hash, returns, lengths, native)
            )
    return scores


def _play(
    env: VectorEnv, team: Checkpoint, name: str, seeds: np.ndarray[Any, Any]
) -> tuple[DoubleArray, DoubleArray]:
    """Returns and lengths [E], each game one episode."""
    from agents.acting import BatchedTeam

    policy = BatchedTeam(team.agent, team.params, len(seeds), "greedy")
    policy.begin(seeds, np.arange(len(seeds)))
    step = env.reset(seeds)
    returns = np.zeros(len(seeds))
    joints = _joints(env.spec.scenario)
    while not step.ended.all():
        native = env.spec.layout == OMIGA
        seen = step.observations if native else omiga_view(_features(env, name), team.agent.spec.n_agents)
        actions = policy.act(seen, None)
        step = env.step(_regroup(actions, name, joints))
        returns += step.rewards
    return returns, step.info["steps"].astype(np.float64)


def _features(env: VectorEnv, name: str) -> DoubleArray:
    """[B, F]: the robot's own observation as the old environments give it, contact forces as zeros."""
    state = env.state().astype(np.float64)
    if name != "2ant":
        return state
    return np.concatenate([state[:, :27], np.zeros((len(state), 84))], axis=1)


def omiga_view(features: DoubleArray, n_agents: int) -> FloatArray:
    """[B, N, F + N], from features [B, F]: with the one-hot index, standardised over each vector."""
    n_games, width = features.shape
    seen = np.zeros((n_games, n_agents, width + n_agents))
    seen[:, :, :width] = features[:, None]
    seen[:, :, width:] = np.eye(n_agents)
    seen = (seen - seen.mean(axis=-1, keepdims=True)) / seen.std(axis=-1, keepdims=True)
    view: FloatArray = seen.astype(np.float32)
    return view


def _joints(scenario: str) -> list[tuple[int, ...]]:
    """Per agent of a scenario, the actuators that it drives."""
    name = scenarios.find(scenario).name
    if name in DATASET_TEAMS:
        return list(DATASET_TEAMS[name].split)
    with scenarios.make(name) as env:
        return list(env.actuators)  # type: ignore[attr-defined]


def _regroup(actions: ActionArray, name: str, joints: list[tuple[int, ...]]) -> FloatArray:
    """Actions [B, N, A] of the dataset robot as those of agents that drive other groups of joints."""
    split = np.concatenate(DATASET_TEAMS[name].split)
    whole = np.zeros((len(actions), len(split)), dtype=np.float32)
    whole[:, split] = actions.reshape(len(actions), -1)
    return np.stack([whole[:, list(group)] for group in joints], axis=1)

"""What an evaluation makes harder on purpose, so that robustness becomes a number."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamPolicy, TeamSpec
from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import InvalidValueError
from harness.mixing import MixedTeam

_CHANNEL_STREAM: Final = 4
Execution = Literal["batched", "decentralized"]


@dataclass(frozen=True)
class Conditions:
    """How a team is disturbed or slowed down. The defaults disturb nothing."""

    drop_observation: float = 0.0
    """Probability that an agent's observation does not arrive; it then sees its last one that did."""
    delay_observation: int = 0
    """Steps by which every observation is late."""
    swap_agent: tuple[str, ...] = ()
    """Agents that somebody else plays: `INDEX=random`, `INDEX=noop`."""
    execution: Execution = "batched"
    """All agents in one call, or one process per agent."""
    deadline_ms: float | None = None
    """Time an agent has for one action; later is too late. Needs `decentralized`."""
    late_action: Literal["noop", "repeat"] = "noop"
    """What happens instead of a late action."""

    def disturbing(self) -> bool:
        """Whether somebody sees or plays differently; running in processes of their own disturbs nobody."""
        return bool(self.changed().keys() - {"execution"})

    def changed(self) -> dict[str, Any]:
        """The fields that differ from the default, as JSON values."""
        plain = asdict(Conditions())
        values = {name: value for name, value in asdict(self).items() if value != plain[name]}
        if self.deadline_ms is None:
            values.pop("late_action", None)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def swaps(conditions: Conditions, n_agents: int) -> dict[int, str]:
    """Who plays which agent instead: agent index -> name, from `INDEX=NAME`.

    Raises:
        InvalidValueError: no `INDEX=NAME`, an index that is no agent, or one given twice.
    """
    found: dict[int, str] = {}
    for text in conditions.swap_agent:
        index, is_pair, name = text.partition("=")
        if not is_pair or not name or not re.fullmatch("[0-9]+", index):
            raise InvalidValueError(f"--swap-agent '{text}' is not INDEX=AGENT, such as 0=random")
        agent = int(index)
        if agent >= n_agents:
            raise InvalidValueError(f"--swap-agent {text}: there are agents 0 to {n_agents - 1}")
        if agent in found:
            raise InvalidValueError(f"--swap-agent names agent {agent} twice")
        found[agent] = name
    return found


def check_conditions(conditions: Conditions, spec: TeamSpec) -> None:
    """Raise InvalidValueError, in one line, for disturbances that make no sense in this world."""
    check_between("--drop-observation", conditions.drop_observation, 0.0, 1.0)
    check_at_least("--delay-observation", conditions.delay_observation, 0)
    if conditions.delay_observation >= spec.episode_limit:
        raise InvalidValueError(
            f"--delay-observation is {conditions.delay_observation}, but episodes of {spec.scenario} end after "
            f"{spec.episode_limit} steps"
        )
    swaps(conditions, spec.n_agents)


def disturbed(
    policy: TeamPolicy,
    conditions: Conditions,
    spec: TeamSpec,
    n_games: int,
    team_of: Callable[[str], TeamPolicy],
) -> TeamPolicy:
    """A team under the conditions that concern observations and players; `policy` itself under the default ones.

    Swapped agents come first, so they see through the same disturbed channel as everybody.

    Args:
        policy: the team of `n_games` games.
        conditions: what to do to it.
        spec: the world's specification.
        n_games: B.
        team_of: builds the policy of B games that a name in `--swap-agent` stands for.

    Raises:
        InvalidValueError: see `check_conditions`.
        HarnessError: as `team_of` raises it.
    """
    check_conditions(conditions, spec)
    replaced = swaps(conditions, spec.n_agents)
    if replaced:
        names = sorted(set(replaced.values()))
        seats = [1 + names.index(replaced[i]) if i in replaced else 0 for i in range(spec.n_agents)]
        policy = MixedTeam([policy, *(team_of(name) for name in names)], seats)
    if conditions.drop_observation or conditions.delay_observation:
        policy = UnreliableObservations(
            policy, spec.n_agents, n_games, conditions.drop_observation, conditions.delay_observation
        )
    return policy


class UnreliableObservations:
    """A `TeamPolicy` whose agents see their observations late, or not at all.

    An observation is lost on its way with probability `drop`; the agent then goes on seeing the last one that
    arrived. The first of an episode always arrives. What arrives does so `delay` steps late; until then the agent
    sees the first one. Masks of available actions are always current: the simulator enforces them, so an action
    chosen from an old mask would be refused instead of being a mistake.

    Whether observation t of agent i is lost depends on the episode's seed, t and i alone: one uniform number each,
    the same for every `drop`, so what a small probability loses a larger one loses, too.

    Args:
        policy: who acts on what arrives.
        n_agents: N.
        n_games: B.
        drop: probability in [0, 1].
        delay: steps, at least 0.
    """

    def __init__(self, policy: TeamPolicy, n_agents: int, n_games: int, drop: float, delay: int) -> None:
        self.policy, self.drop, self.delay = policy, drop, delay
        self._shape = (n_games, n_agents)
        self._generators: list[list[np.random.Generator]] = [[] for _ in range(n_games)]
        self._is_first = np.ones(n_games, dtype=np.bool_)
        self._arrived: FloatArray | None = None

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Start episodes: nothing has been lost yet."""
        self.policy.begin(episode_seeds, games)
        for seed, game in zip(episode_seeds, games, strict=True):
            self._generators[game] = [_channel_generator(int(seed), i) for i in range(self._shape[1])]
            self._is_first[game] = True

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """[B, N, D] and [B, N, A] to int64[B, N] or float32[B, N, A]."""
        if self._arrived is None:  # [delay + 1, B, N, D]: what arrives now, in one step, in two …
            self._arrived = np.zeros((self.delay + 1, *observations.shape), dtype=observations.dtype)
        draws = np.array([[rng.random() for rng in game] for game in self._generators])
        lost = draws < self.drop
        newest = np.where(lost[..., None], self._arrived[-1], observations)
        self._arrived = np.concatenate([self._arrived[1:], newest[None]])
        self._arrived[:, self._is_first] = observations[self._is_first]  # the first one always arrives
        self._is_first[:] = False
        return self.policy.act(self._arrived[0].copy(), available_actions)


def _channel_generator(episode_seed: int, agent_index: int) -> np.random.Generator:
    """What decides about the losses of one agent in one episode."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([episode_seed, _CHANNEL_STREAM, agent_index]))
    )

"""Policies that users bring as Python code: `FILE.py:make` or `package.module:make`.

`make(spec, agent_index)` returns a `Policy` (env_adapters/api.py) for one agent. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from agents.generators import episode_generator
from env_adapters import code
from env_adapters.api import ActionArray, AgentView, BoolArray, FloatArray, IntArray, Policy, TeamSpec
from env_adapters.code import described
from env_adapters.errors import ActionError, AgentError

MakePolicy = Callable[[TeamSpec, int], Policy]
"""Builds the policy of one agent: specification of the world and the agent's index in, policy out."""


@dataclass(frozen=True)
class PolicyCode:
    """Code that makes policies."""

    reference: str
    """As the user named it."""
    make: MakePolicy
    code_hash: str
    """sha256 hex digest of the source file; what that file loads is not part of it."""

    def policy(self, spec: TeamSpec, agent_index: int) -> Policy:
        """Make the policy of one agent; AgentError where `make` raises or returns something without `act`."""
        try:
            policy = self.make(spec, agent_index)
        except (Exception, SystemExit) as error:
            raise AgentError(
                f"agent '{self.reference}' cannot be made for agent {agent_index} of {spec.scenario}: {described(error)}"
            ) from error
        if not callable(getattr(policy, "act", None)):
            raise AgentError(
                f"agent '{self.reference}' made {type(policy).__name__} for agent {agent_index}, "
                "which has no method act(view, memory, rng)"
            )
        return policy


def load_code(reference: str) -> PolicyCode:
    """Import the code behind `FILE.py:make` or `module:make`; errors as `env_adapters.code.load_code`."""
    found = code.load_code(reference, "agent", "def NAME(spec, agent_index)")
    return PolicyCode(reference, found.make, found.code_hash)


class PolicyTeam:
    """B teams of single policies: a `TeamPolicy` that asks one agent after the other.

    One policy per agent serves every game; what lasts from step to step is kept here, per game and agent. A
    policy is handed copies, and is no longer asked in a game that has reached the episode limit.

    Args:
        policies: N policies.
        spec: the world's specification.
        n_games: B.
    """

    def __init__(self, policies: Sequence[Policy], spec: TeamSpec, n_games: int) -> None:
        self.spec, self.n_games = spec, n_games
        self.memory: list[list[Any]] = [[None] * spec.n_agents for _ in range(n_games)]
        """What each agent of each game returned last."""
        self.order = [(game, i) for game in range(n_games) for i in range(spec.n_agents)]
        """Pairs of game and agent as they are asked; no action may depend on it."""
        self._policies = policies
        self._generators: list[list[np.random.Generator]] = [[] for _ in range(n_games)]
        self._steps = np.zeros(n_games, dtype=np.int64)

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Start episodes with fresh generators and no memory."""
        for seed, game in zip(episode_seeds, games, strict=True):
            agents = range(self.spec.n_agents)
            self._generators[game] = [episode_generator(int(seed), i) for i in agents]
            self.memory[game] = [None] * self.spec.n_agents
            self._steps[game] = 0

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """[B, N, D] and [B, N, A] to int64[B, N] or float32[B, N, A].

        Raises:
            AgentError: a policy raises.
            ActionError: a policy returns something that is no action of this world.
        """
        actions = empty_actions(self.spec, self.n_games)
        for game, i in self.order:
            step = int(self._steps[game])
            mask = None if available_actions is None else available_actions[game, i]
            if step >= self.spec.episode_limit:  # a surplus game, frozen while others go on
                actions[game, i] = 0 if mask is None else mask.argmax()
                continue
            seen = AgentView(observations[game, i], mask, i, step)
            handed = seen._replace(
                observation=seen.observation.copy(), available_actions=None if mask is None else mask.copy()
            )
            action, memory = ask(self._policies[i], handed, self.memory[game][i], self._generators[game][i])
            self.memory[game][i] = memory
            actions[game, i] = checked_action(action, seen, self.spec)
        self._steps += 1
        return actions


def empty_actions(spec: TeamSpec, n_games: int) -> ActionArray:
    """Room for the joint actions of B games: int64[B, N] or float32[B, N, A], all zero."""
    if spec.action_kind == "discrete":
        return np.zeros((n_games, spec.n_agents), dtype=np.int64)
    return np.zeros((n_games, spec.n_agents, spec.action_size), dtype=np.float32)


def ask(policy: Policy, view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Call a user's policy; AgentError, naming agent and step, where it raises or returns no pair."""
    where = f"agent {view.agent_index} at step {view.step}"
    try:
        answer = policy.act(view, memory, rng)
    except (Exception, SystemExit) as error:
        raise AgentError(f"the policy of {where} raised {described(error)}") from error
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise AgentError(f"the policy of {where} returned {type(answer).__name__}, expected (action, memory)")
    return answer


def checked_action(action: Any, view: AgentView, spec: TeamSpec) -> ActionArray:
    """An action as int64[] or float32[A]; ActionError for what this world cannot take."""
    try:
        array = np.asarray(action)
    except Exception as error:  # a tensor on a GPU, or one that requires a gradient, says how to convert it
        raise ActionError(f"the action of {_where(view, spec)} is no array: {error}") from error
    # Kinds of data types are compared by letter because this runs once per action; issubdtype takes microseconds.
    if spec.action_kind == "continuous":
        if array.shape != (spec.action_size,) or array.dtype.kind != "f":
            raise ActionError(
                f"the action of {_where(view, spec)} is {array.dtype} of shape {array.shape}, expected "
                f"floating-point numbers of shape ({spec.action_size},)"
            )
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise ActionError(f"the action of {_where(view, spec)} is not finite")
        return numbers
    if array.shape != () or array.dtype.kind not in "iu":
        raise ActionError(
            f"the action of {_where(view, spec)} is {array.dtype} of shape {array.shape}, expected one whole number"
        )
    mask = np.ones(spec.action_size, np.bool_) if view.available_actions is None else view.available_actions
    choice = int(array)
    if not (0 <= choice < len(mask) and mask[choice]):
        allowed = ", ".join(map(str, np.flatnonzero(mask)))
        raise ActionError(f"action {choice} of {_where(view, spec)} is not available; available: {allowed}")
    return cast(ActionArray, array.astype(np.int64))


def _where(view: AgentView, spec: TeamSpec) -> str:
    return f"agent {view.agent_index} of {spec.scenario} at step {view.step}"

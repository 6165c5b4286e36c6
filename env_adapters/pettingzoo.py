"""Any world of this project as a PettingZoo `ParallelEnv`. Needs the optional extra `pettingzoo`."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from env_adapters import scenarios
from env_adapters.api import ActionArray, AgentView, DecentralizedEnv, FloatArray, Step
from env_adapters.errors import ActionError, InvalidValueError, MissingExtraError

try:
    from gymnasium import spaces
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise MissingExtraError("the PettingZoo interface", "pettingzoo") from error

_UNSEEDED = 0
"""Root of the episode seeds of an environment that was never given one."""


class ParallelTeamEnv(ParallelEnv):  # type: ignore[misc]  # pettingzoo is optional, hence Any here
    """A `DecentralizedEnv` behind PettingZoo's parallel interface.

    Agents are `agent_0` … `agent_{N-1}` and all live until the episode ends. Every agent receives the whole
    team reward. Where actions can be unavailable an observation is {"observation": float32[D],
    "action_mask": int8[A]}, PettingZoo's convention, else float32[D]. As in the wrapped world a wrong or
    unavailable action raises `ActionError`: sample with the mask, `action_space(agent).sample(mask)`.

    Seeds: `reset(seed=s)` plays exactly the episode of episode seed s. A later `reset()` draws the next
    episode seed from a generator that s started (0 if no seed was ever given), so a run repeats.

    Args:
        env: the world; closed together with this one.
    """

    metadata: dict[str, Any]

    def __init__(self, env: DecentralizedEnv) -> None:
        spec = env.spec
        self.env = env
        self.metadata = {"name": spec.scenario, "render_modes": [], "is_parallelizable": True}
        self.render_mode = None
        self.possible_agents = [f"agent_{i}" for i in range(spec.n_agents)]
        self.agents: list[str] = []
        self.state_space = spaces.Box(-np.inf, np.inf, (spec.state_size,), np.float32)
        self.masked = env.reset(_UNSEEDED).views[0].available_actions is not None
        self.observation_spaces = {agent: self._observation_space() for agent in self.possible_agents}
        self.action_spaces = {agent: self._action_space() for agent in self.possible_agents}
        self._episode_seeds = np.random.default_rng(_UNSEEDED)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same object for the same agent, so that it can be seeded."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Discrete(A), or Box [A] in [-1, 1]; the same object for the same agent."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Start an episode (see Seeds above); `options` are accepted and ignored."""
        if seed is not None:
            if not isinstance(seed, (int, np.integer)) or seed < 0:
                raise InvalidValueError(f"seed {seed!r} is not a whole number of 0 or more")
            self._episode_seeds = np.random.default_rng(seed)
        episode_seed = int(self._episode_seeds.integers(2**31)) if seed is None else seed
        self.agents = list(self.possible_agents)
        step = self.env.reset(episode_seed)
        return self._observations(step), self._infos(step)

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Advance by one action per agent; empty dictionaries while no episode is running.

        Raises:
            ActionError: an agent without an action, or a wrong action.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        step = self.env.step(self._joint_action(actions))
        if step.terminated or step.truncated:
            self.agents = []
        return (
            self._observations(step),
            dict.fromkeys(self.possible_agents, step.reward),
            dict.fromkeys(self.possible_agents, step.terminated),
            dict.fromkeys(self.possible_agents, step.truncated),
            self._infos(step),
        )

    def state(self) -> FloatArray:
        """Global state [S]; for centralised training only."""
        return self.env.state()

    def close(self) -> None:
        """Close the world; safe to call twice."""
        self.env.close()

    def _observation_space(self) -> spaces.Space[Any]:
        box = spaces.Box(-np.inf, np.inf, (self.env.spec.observation_size,), np.float32)
        if not self.masked:
            return box
        mask = spaces.Box(0, 1, (self.env.spec.action_size,), np.int8)
        return spaces.Dict({"observation": box, "action_mask": mask})

    def _action_space(self) -> spaces.Space[Any]:
        size = self.env.spec.action_size
        discrete = self.env.spec.action_kind == "discrete"
        return spaces.Discrete(size) if discrete else spaces.Box(-1.0, 1.0, (size,), np.float32)

    def _joint_action(self, actions: dict[str, Any]) -> ActionArray:
        scenario = self.env.spec.scenario
        missing = [agent for agent in self.possible_agents if agent not in actions]
        if missing:
            raise ActionError(f"no action of {', '.join(missing)} in {scenario}; every agent needs one")
        parts = [np.asarray(actions[agent]) for agent in self.possible_agents]
        shapes = {part.shape for part in parts}
        if len(shapes) > 1:
            raise ActionError(f"actions in {scenario} differ in shape: {sorted(shapes)}; all need the same")
        return cast(ActionArray, np.stack(parts))

    def _observations(self, step: Step) -> dict[str, Any]:
        return {
            agent: _observation(view) for agent, view in zip(self.possible_agents, step.views, strict=True)
        }

    def _infos(self, step: Step) -> dict[str, dict[str, Any]]:
        return {agent: dict(step.info) for agent in self.possible_agents}


def _observation(view: AgentView) -> Any:
    if view.available_actions is None:
        return view.observation
    return {"observation": view.observation, "action_mask": view.available_actions.astype(np.int8)}


def parallel_env(name: str, **options: Any) -> ParallelTeamEnv:
    """Build a scenario by name or id as a PettingZoo environment; `layout` and other options as for `scenarios.make`.

    Raises:
        UnknownNameError: no such scenario, layout or option.
        MissingExtraError: the simulator's package is not installed.
    """
    return ParallelTeamEnv(scenarios.make(name, **options))

"""Random play of one adapter, single or vector, recorded moment by moment for exact comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from env_adapters.api import (
    ActionArray,
    BoolArray,
    DecentralizedEnv,
    RenderState,
    Step,
    TeamSpec,
    VectorEnv,
    VectorStep,
)
from env_adapters.conformance.violation import accepted

Moment = dict[str, npt.NDArray[Any]]
"""Everything one game shows at one moment, by name, as copies: `observations` [N, D], `available_actions`
[N, A] (absent where every action is available), `reward`, `terminated`, `truncated`, `step`, `state` [S],
`state_hash`, and one entry per array of the render state (`render_state.x`) and of info (`info.steps`)."""


class Look(NamedTuple):
    """What an adapter returned from one call."""

    moments: list[Moment]
    """One per game."""
    shared: dict[str, npt.NDArray[Any]]
    """Arrays that adapter and caller both hold, not copied: what it returned, and the actions it was given."""


def ended(moment: Moment) -> bool:
    """Whether the game is over."""
    return bool(moment["terminated"] or moment["truncated"])


def difference(expected: Moment, actual: Moment, ignore: Sequence[str] = ()) -> str | None:
    """Name of the first entry that is not equal in type, shape and every bit; None where all are."""
    for name in sorted((expected.keys() | actual.keys()) - set(ignore)):
        if name not in expected or name not in actual:
            return name
        one, other = expected[name], actual[name]
        if (one.dtype, one.shape, one.tobytes()) != (other.dtype, other.shape, other.tobytes()):
            return name
    return None


def draw_joint_action(available: BoolArray | None, spec: TeamSpec, rng: np.random.Generator) -> ActionArray:
    """Draw a random available joint action.

    Args:
        available: [N, A], or None where every action is available.
        spec: the world's.
        rng: source of every draw.

    Returns:
        int64[N] (discrete) or float32[N, A] in [-1, 1] (continuous).
    """
    if spec.action_kind == "continuous":
        return rng.uniform(-1.0, 1.0, (spec.n_agents, spec.action_size)).astype(np.float32)
    if available is None:
        return rng.integers(spec.action_size, size=spec.n_agents)
    return np.array([rng.choice(np.flatnonzero(row)) for row in available], dtype=np.int64)


class Bench:
    """An adapter behind one face: lists with one entry per game, a single world being a batch of one."""

    def __init__(self, env: DecentralizedEnv | VectorEnv) -> None:
        self.env = env
        self.spec = env.spec
        self.is_batch = isinstance(env, VectorEnv)
        self.n_games = env.n_games if isinstance(env, VectorEnv) else 1

    def reset(self, seeds: Sequence[int], games: Sequence[int] | None = None) -> Look:
        """Start one episode per seed in `games` (default: all)."""
        if isinstance(self.env, DecentralizedEnv):
            return _look(self.env, self.env.reset(seeds[0]))
        chosen = None if games is None else np.array(games, dtype=np.int64)
        return _look_batch(self.env, self.env.reset(np.array(seeds, dtype=np.int64), chosen))

    def step(self, actions: Sequence[ActionArray]) -> Look:
        """Advance by one joint action per game."""
        if isinstance(self.env, DecentralizedEnv):
            look = _look(self.env, self.env.step(actions[0]))
            return Look(look.moments, {**look.shared, "joint_action": actions[0]})
        joint = cast(ActionArray, np.stack(actions))
        look = _look_batch(self.env, self.env.step(joint))
        return Look(look.moments, {**look.shared, "joint_actions": joint})

    def restore(self, snapshot: bytes) -> Look:
        """Return to a snapshot."""
        if isinstance(self.env, DecentralizedEnv):
            return _look(self.env, self.env.restore(snapshot))
        return _look_batch(self.env, self.env.restore(snapshot))

    def hashes(self) -> list[str]:
        """The state hash of every game."""
        if isinstance(self.env, DecentralizedEnv):
            return [self.env.state_hash()]
        return [self.env.state_hash(game) for game in range(self.n_games)]


class Playthrough:
    """Episodes under random available actions; those of game b are drawn from its own seed.

    Attributes:
        look: what the last call returned.
        traces: [B][T + 1], every moment so far of each game's current episode.
        actions: [T][B], the joint actions so far.
    """

    def __init__(self, bench: Bench, seeds: Sequence[int]) -> None:
        self.bench = bench
        self.look = bench.reset(seeds)
        self.traces = [[moment] for moment in self.look.moments]
        self.actions: list[list[ActionArray]] = []
        self._rngs = [np.random.default_rng(seed) for seed in seeds]

    def advance(self, steps: int = 1) -> Playthrough:
        """Play on; games that have ended get actions that a batch must ignore."""
        for _ in range(steps):
            actions = [self._draw(trace[-1], rng) for trace, rng in zip(self.traces, self._rngs, strict=True)]
            self.actions.append([action.copy() for action in actions])
            with accepted():
                self.look = self.bench.step(actions)
            for trace, moment in zip(self.traces, self.look.moments, strict=True):
                trace.append(moment)
        return self

    def restart(self, game: int, seed: int) -> None:
        """Reset one game of the batch; its trace starts again."""
        self.look = self.bench.reset([seed], [game])
        self._rngs[game] = np.random.default_rng(seed)
        self.traces[game] = [self.look.moments[game]]

    def _draw(self, moment: Moment, rng: np.random.Generator) -> ActionArray:
        action = draw_joint_action(moment.get("available_actions"), self.bench.spec, rng)
        return np.zeros_like(action) if self.bench.is_batch and ended(moment) else action


def _look(env: DecentralizedEnv, step: Step) -> Look:
    shared: dict[str, npt.NDArray[Any]] = {"state": env.state(), **_render_arrays(env.render_state())}
    moment = {name: array.copy() for name, array in shared.items()}
    moment["observations"] = np.stack([view.observation for view in step.views])
    masks = [view.available_actions for view in step.views if view.available_actions is not None]
    if masks:
        moment["available_actions"] = np.stack(masks)
    for view in step.views:
        shared[f"observation of agent {view.agent_index}"] = view.observation
        if view.available_actions is not None:
            shared[f"available_actions of agent {view.agent_index}"] = view.available_actions
    moment |= {
        "reward": np.array(step.reward),
        "terminated": np.array(step.terminated),
        "truncated": np.array(step.truncated),
        "step": np.array(step.views[0].step),
        "state_hash": np.array(env.state_hash()),
        **{f"info.{name}": np.array(value) for name, value in step.info.items()},
    }
    return Look([moment], shared)


def _look_batch(env: VectorEnv, step: VectorStep) -> Look:
    batch: dict[str, npt.NDArray[Any]] = {
        "observations": step.observations,
        "reward": step.rewards,
        "terminated": step.terminated,
        "truncated": step.truncated,
        "step": step.info["steps"],
        "state": env.state(),
        **{f"info.{name}": values for name, values in step.info.items()},
    }
    if step.available_actions is not None:
        batch["available_actions"] = step.available_actions
    moments, shared = [], dict(batch)
    for game in range(env.n_games):
        rendered = _render_arrays(env.render_state(game))
        shared |= {f"{name} of game {game}": array for name, array in rendered.items()}
        moment = {name: np.array(array[game]) for name, array in batch.items()}
        moment |= {name: array.copy() for name, array in rendered.items()}
        moments.append(moment | {"state_hash": np.array(env.state_hash(game))})
    return Look(moments, shared)


def _render_arrays(state: RenderState) -> dict[str, npt.NDArray[Any]]:
    return {f"render_state.{name}": array for name, array in state.arrays.items()}

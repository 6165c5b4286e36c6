"""The vocabulary every room shares.

Shape letters, fixed for the whole project:
    B games in a batch, T time, N agents, A actions (discrete choices, or components of a continuous
    action), D observation features, S state features, K training seeds.

An agent acts on its own `AgentView` and nothing else. The global state exists for trainers and
renderers only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from env_adapters.errors import ActionError, InvalidValueError

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
ActionArray = npt.NDArray[np.int64] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class TeamSpec:
    """What a team needs to know about its world before the first observation.

    `layout` names the meaning of every observation feature; agents and datasets of one layout do not fit
    another. `engine` names simulator and build; results of different engines never share a column.
    """

    scenario: str
    """Versioned id, for example `5m_vs_6m-v1`."""
    layout: str
    """Observation layout id, for example `smac-v1`."""
    engine: str
    """Simulator and build, for example `embedded-sc2/2`."""
    n_agents: int
    observation_size: int
    state_size: int
    action_kind: Literal["discrete", "continuous"]
    action_size: int
    """A: the number of choices (discrete) or of components in [-1, 1] (continuous)."""
    episode_limit: int
    """Steps after which an episode is cut."""
    has_win: bool
    """Whether `info["won"]` means something here."""


class AgentView(NamedTuple):
    """Everything one agent may use to choose one action."""

    observation: FloatArray
    """[D]"""
    available_actions: BoolArray | None
    """[A], or None where every action is always available."""
    agent_index: int
    step: int


class Step(NamedTuple):
    """One world, one moment."""

    views: tuple[AgentView, ...]
    reward: float
    """Team reward of the step that led here; 0 after a reset."""
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]
    """The same names at every step: `steps` (int) always, `won` (bool) where there is a winner."""


class VectorStep(NamedTuple):
    """B worlds, one moment. Arrays belong to the caller: a later step does not change them."""

    observations: FloatArray
    """[B, N, D]"""
    available_actions: BoolArray | None
    """[B, N, A]"""
    rewards: DoubleArray
    """[B]"""
    terminated: BoolArray
    """[B]"""
    truncated: BoolArray
    """[B]"""
    info: Mapping[str, npt.NDArray[Any]]
    """Arrays [B], the same names at every step: `steps` (int) always, `won` (bool) where there is a winner."""

    @property
    def ended(self) -> BoolArray:
        """[B], terminated or truncated."""
        return self.terminated | self.truncated


class RenderState(NamedTuple):
    """What a renderer needs to draw one moment of one world, as plain arrays."""

    kind: Literal["starcraft", "mujoco"]
    scenario: str
    arrays: Mapping[str, npt.NDArray[Any]]


class _Closing:
    """Context manager over `close()`."""

    def close(self) -> None:
        """Release resources; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DecentralizedEnv(_Closing, ABC):
    """One world. Subclasses set `spec` and implement the methods below.

    A wrong action raises `ActionError` naming agent, step and what was expected; the world is unchanged.
    """

    spec: TeamSpec

    @abstractmethod
    def reset(self, episode_seed: int) -> Step:
        """Start the episode that this seed fully determines."""

    @abstractmethod
    def step(self, joint_action: ActionArray) -> Step:
        """Advance by one action per agent: int64[N] (discrete) or float32[N, A] (continuous)."""

    @abstractmethod
    def state(self) -> FloatArray:
        """Global state [S]; for trainers and renderers only."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """The whole world as bytes; `restore` brings it back exactly, generators included."""

    @abstractmethod
    def restore(self, snapshot: bytes) -> Step:
        """Return to a snapshot of the same scenario and engine; raises MismatchError for any other."""

    @abstractmethod
    def state_hash(self) -> str:
        """Hex digest of everything that decides the future of this world."""

    @abstractmethod
    def render_state(self) -> RenderState:
        """What a renderer needs for this moment."""


class VectorEnv(_Closing, ABC):
    """B independent worlds stepped together. Game b behaves exactly as a single world would.

    A game that has ended stays frozen (reward 0, same observation, flags kept) until it is reset, so
    episodes of unequal length can share a batch. Actions of ended games are ignored.
    """

    spec: TeamSpec
    n_games: int

    @abstractmethod
    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        """Start one episode per seed in `games` (default: all) and return the whole batch."""

    @abstractmethod
    def step(self, joint_actions: ActionArray) -> VectorStep:
        """Advance running games: int64[B, N] (discrete) or float32[B, N, A] (continuous)."""

    @abstractmethod
    def state(self) -> FloatArray:
        """Global states [B, S]."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """All games as bytes."""

    @abstractmethod
    def restore(self, snapshot: bytes) -> VectorStep:
        """Return to a snapshot of the same scenario, engine and batch size."""

    @abstractmethod
    def state_hash(self, game: int) -> str:
        """Hex digest of one game; equals that of a single world in the same situation."""

    @abstractmethod
    def render_state(self, game: int) -> RenderState:
        """What a renderer needs for this moment of one game."""


class Policy(Protocol):
    """One agent of a team, alone: what a user brings (`--agent FILE.py:make`) and what runs decentralised.

    Everything that lasts from one step to the next goes through `memory`; whatever is random comes from
    `rng`. An attribute that changes while acting would let episodes influence each other.
    """

    def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        """Choose one action from this agent's own view.

        Args:
            view: what this agent sees; the arrays are its own copies.
            memory: None at the first step of an episode, later what the last call returned.
            rng: this agent's generator in this episode.

        Returns:
            The action, a whole number (discrete) or numbers [A] (continuous), and the memory for the next call.
        """


class TeamPolicy(Protocol):
    """B teams of N decentralised agents, called together for speed.

    Row (b, i) of the result depends on observation (b, i), the noise of episode b and agent i, and that
    agent's own memory, never on another row.
    """

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Start new episodes in these games: fresh memory and noise, derived from the seeds alone."""

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """[B, N, D] and [B, N, A] to int64[B, N] or float32[B, N, A]."""


def check_episode_seeds(episode_seeds: IntArray, n_games: int) -> IntArray:
    """Return one seed per game as int64; InvalidValueError unless there are so many, all whole numbers of 64 bits."""
    seeds = np.asarray(episode_seeds)
    if seeds.shape != (n_games,) or not np.issubdtype(seeds.dtype, np.integer):
        raise InvalidValueError(
            f"episode seeds are {seeds.dtype} of shape {seeds.shape}; give {n_games} whole numbers, one per game"
        )
    if len(seeds) and seeds.max() > np.iinfo(np.int64).max:
        raise InvalidValueError(f"episode seed {seeds.max()} is not a 64-bit whole number")
    return seeds.astype(np.int64)


def check_action_form(actions: ActionArray, spec: TeamSpec, n_games: int) -> None:
    """Raise ActionError unless `actions` has the shape and type that `VectorEnv.step` takes."""
    discrete = spec.action_kind == "discrete"
    shape = (n_games, spec.n_agents) if discrete else (n_games, spec.n_agents, spec.action_size)
    actual = np.asarray(actions)
    if actual.shape != shape:
        raise ActionError(f"joint actions for {spec.scenario} have shape {actual.shape}, expected {shape}")
    kind_ok = (
        np.issubdtype(actual.dtype, np.integer) if discrete else np.issubdtype(actual.dtype, np.floating)
    )
    if not kind_ok:
        wanted = "integers" if discrete else "floating-point numbers"
        raise ActionError(f"joint actions for {spec.scenario} have type {actual.dtype}, expected {wanted}")


def check_joint_actions(actions: ActionArray, spec: TeamSpec, n_games: int) -> None:
    """As `check_action_form`; numbers must be finite, too."""
    check_action_form(actions, spec, n_games)
    actual, discrete = np.asarray(actions), spec.action_kind == "discrete"
    if not discrete and not np.isfinite(actual).all():
        game, agent = (int(i) for i in np.argwhere(~np.isfinite(actual))[0][:2])
        raise ActionError(f"action of agent {agent} in game {game} of {spec.scenario} is not finite")


def check_available(actions: ActionArray, views: Sequence[AgentView], spec: TeamSpec, game: int) -> None:
    """Raise ActionError at the first of one game's discrete actions [N] that its agent's mask does not allow."""
    for view, action in zip(views, actions, strict=True):
        mask = view.available_actions
        if mask is not None and not (0 <= action < len(mask) and mask[action]):
            raise unavailable_action(int(action), view.agent_index, game, view.step, mask, spec)


def unavailable_action(
    action: int, agent: int, game: int, step: int, mask: BoolArray, spec: TeamSpec
) -> ActionError:
    """Build the error for an action that its agent's mask [A] does not allow."""
    allowed = ", ".join(map(str, np.flatnonzero(mask)))
    return ActionError(
        f"action {action} of agent {agent} in game {game} of {spec.scenario} is not available at step {step}; "
        f"available: {allowed}"
    )

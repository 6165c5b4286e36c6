"""The inner loop: one team policy in a batch of worlds, episode by episode.

Datasets are collected and agents are evaluated through this one loop. Which game of the batch plays an
episode never matters: an episode is decided by its seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np

from env_adapters.api import ActionArray, FloatArray, RenderState, TeamPolicy, VectorEnv, VectorStep


@dataclass
class Episode:
    """One finished episode. T steps, hence T + 1 observations."""

    seed: int
    rewards: list[float] = field(default_factory=list)
    terminated: bool = False
    truncated: bool = False
    won: bool | None = None
    """None where the scenario has no winner."""
    final_hash: str = ""
    """Hash of the world after the last step."""
    observations: list[FloatArray] = field(default_factory=list)
    """T + 1 arrays [N, D], when recorded."""
    available_actions: list[np.ndarray] = field(default_factory=list)
    """T + 1 arrays [N, A], when recorded and the scenario has them."""
    states: list[FloatArray] = field(default_factory=list)
    """T + 1 arrays [S], when recorded."""
    actions: list[ActionArray] = field(default_factory=list)
    """T arrays [N] or [N, A], when recorded."""
    frames: list[RenderState] = field(default_factory=list)
    """T + 1 render states, for episodes that are filmed."""

    @property
    def length(self) -> int:
        """T."""
        return len(self.rewards)

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of rewards."""
        return float(np.sum(self.rewards))


@dataclass(frozen=True)
class Recording:
    """What to keep of each episode besides rewards and outcome."""

    transitions: bool = False
    """Observations, masks, states and actions."""
    film: frozenset[int] = frozenset()
    """Seeds of the episodes whose render states are kept."""


class _Slots:
    """Which episode each game of the batch is playing."""

    def __init__(self, env: VectorEnv, seeds: Iterator[int], recording: Recording) -> None:
        self.env = env
        self.recording = recording
        self.waiting = seeds
        self.playing: list[Episode | None] = [None] * env.n_games

    def start(self, policy: TeamPolicy, games: list[int]) -> VectorStep | None:
        """Give waiting episodes to these games; without one a game stays as it ended."""
        drawn = list(islice(self.waiting, len(games)))
        chosen = games[: len(drawn)]
        for game in games:
            self.playing[game] = None
        for game, seed in zip(chosen, drawn, strict=True):
            self.playing[game] = Episode(seed)
        if not chosen:
            return None
        seeds = np.array(drawn, dtype=np.int64)
        indices = np.array(chosen, dtype=np.int64)
        step = self.env.reset(seeds, indices)
        policy.begin(seeds, indices)
        self.observe(step, chosen)
        return step

    def observe(self, step: VectorStep, games: Sequence[int]) -> None:
        """Append what this moment shows to the episodes of these games."""
        states = self.env.state() if self.recording.transitions else None
        for game in games:
            episode = self.playing[game]
            if episode is None:
                continue
            if states is not None:
                episode.observations.append(step.observations[game].copy())
                episode.states.append(states[game].copy())
                if step.available_actions is not None:
                    episode.available_actions.append(step.available_actions[game].copy())
            if episode.seed in self.recording.film:
                episode.frames.append(self.env.render_state(game))

    def advance(self, step: VectorStep, actions: ActionArray) -> list[int]:
        """Book one step into every running episode; returns the games whose episode ended."""
        ended: list[int] = []
        has_ended = step.ended
        running = [game for game, episode in enumerate(self.playing) if episode is not None]
        for game in running:
            episode = self.playing[game]
            assert episode is not None
            episode.rewards.append(float(step.rewards[game]))
            if self.recording.transitions:
                episode.actions.append(actions[game].copy())
            if has_ended[game]:
                episode.terminated = bool(step.terminated[game])
                episode.truncated = bool(step.truncated[game])
                episode.won = bool(step.info["won"][game]) if self.env.spec.has_win else None
                episode.final_hash = self.env.state_hash(game)
                ended.append(game)
        self.observe(step, running)
        return ended


def play(
    env: VectorEnv, policy: TeamPolicy, seeds: Iterable[int], recording: Recording | None = None
) -> Iterator[Episode]:
    """Play one episode per seed and yield each as it ends (order depends on lengths, content does not).

    Games start together and take the next seed when they end; no seed is drawn before a game is free for it. With
    more games than seeds the surplus games replay the first seeds and are thrown away, so that the batch shape is
    the same for every step.
    """
    waiting = iter(seeds)
    first = list(islice(waiting, env.n_games))
    if not first:
        return
    slots = _Slots(env, chain(first, waiting), recording or Recording())
    filler = [first[game % len(first)] for game in range(env.n_games)]
    everyone = np.arange(env.n_games, dtype=np.int64)
    env.reset(np.array(filler, dtype=np.int64))
    policy.begin(np.array(filler, dtype=np.int64), everyone)
    step = slots.start(policy, list(range(env.n_games)))
    assert step is not None
    while any(episode is not None for episode in slots.playing):
        actions = policy.act(step.observations, step.available_actions)
        step = env.step(actions)
        ended = slots.advance(step, actions)
        for game in ended:
            episode = slots.playing[game]
            assert episode is not None
            yield episode  # before another one starts: what goes wrong then is not this one's fault
        restarted = slots.start(policy, ended)
        step = step if restarted is None else restarted

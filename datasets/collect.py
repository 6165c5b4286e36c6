"""Rolls behavior policies out in a simulator and writes what they saw as a dataset.

A dataset is a function of scenario, behaviours, seed and number of transitions. Batch size and timing do not
enter: which episodes are stored, and in which order, is decided by their seeds alone.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.card import BehaviourRecord, DatasetCard
from datasets.formats.native import NativeWriter
from env_adapters.api import TeamPolicy, VectorEnv
from env_adapters.errors import InvalidValueError
from env_adapters.rollout import Episode, Recording, play

_DOMAIN = 0x636F6C6C
"""Keeps the seeds of collected episodes apart from those that other code derives from the same root ("coll")."""

Progress = Callable[[int, int], None]
"""Called with the transitions stored so far and the number wanted, after every episode."""


@dataclass(frozen=True)
class Behaviour:
    """One behavior policy and how much of the dataset it plays."""

    policy: TeamPolicy
    name: str
    weights_hash: str
    """Identity of the weights; any text for policies without weights."""
    share: float
    """Of the transitions; the shares of a dataset sum to 1."""
    act_mode: str
    """How the policy draws actions, for example `greedy` or `sample`; recorded, not acted on."""


def episode_seed(seed: int, behaviour: int, episode: int) -> int:
    """Seed of the episode of this index that this behaviour plays: 63 bits from a NumPy SeedSequence."""
    sequence = np.random.SeedSequence([seed, behaviour, episode, _DOMAIN])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def collect(
    env: VectorEnv,
    behaviours: Sequence[Behaviour],
    n_transitions: int,
    seed: int,
    path: Path,
    progress: Progress | None = None,
    source: str = "",
    notes: Sequence[str] = (),
) -> DatasetCard:
    """Play whole episodes until at least `n_transitions` are stored.

    Each behaviour plays its episodes 0, 1, 2, … up to the first that completes its share; so a larger dataset
    of the same seed and one behaviour begins with the episodes of a smaller one.

    Args:
        env: the worlds; any batch size gives the same dataset.
        behaviours: who plays; stored one after the other.
        n_transitions: how many to store at least.
        seed: root of all episode seeds, not negative.
        path: the file to write; an existing one is replaced, and nothing appears if collecting fails.
        progress: see `Progress`.
        source: see `DatasetCard.source`.
        notes: see `DatasetCard.notes`.

    Raises:
        InvalidValueError: a number or share makes no sense, or a world or policy produced a value that cannot
            be stored.
        OutputError: the file cannot be written.
    """
    targets = _targets(behaviours, n_transitions, seed)
    records = []
    with NativeWriter(path, env.spec, seed) as writer:
        for index, (behaviour, target) in enumerate(zip(behaviours, targets, strict=True)):
            played = 0
            for episode in _episodes(env, behaviour.policy, seed, index, target):
                writer.append(episode)
                played += 1
                if progress is not None:
                    progress(writer.n_transitions, n_transitions)
            records.append(
                BehaviourRecord(behaviour.name, behaviour.weights_hash, behaviour.act_mode, played)
            )
        return writer.finish(records, source, notes)


def _targets(behaviours: Sequence[Behaviour], n_transitions: int, seed: int) -> list[int]:
    """Transitions that each behaviour must reach; they sum to `n_transitions`."""
    if n_transitions < 1:
        raise InvalidValueError(f"cannot collect {n_transitions} transitions; ask for at least 1")
    if seed < 0:
        raise InvalidValueError(f"the seed is {seed}; choose one that is not negative")
    shares = np.array([behaviour.share for behaviour in behaviours])
    if not (np.all(shares > 0) and abs(shares.sum() - 1.0) < 1e-6):
        raise InvalidValueError(
            f"shares of the behaviours are {shares.tolist()}; make them positive, with sum 1"
        )
    borders = np.rint(np.cumsum(shares) * n_transitions).astype(int)
    targets = [int(target) for target in np.diff(borders, prepend=0)]
    if min(targets) < 1:
        name = behaviours[targets.index(min(targets))].name
        raise InvalidValueError(
            f"behaviour '{name}' would play none of {n_transitions} transitions; raise its share or the number"
        )
    return targets


def _episodes(
    env: VectorEnv, policy: TeamPolicy, seed: int, behaviour: int, target: int
) -> Iterator[Episode]:
    """Episodes 0, 1, 2, … of one behaviour in this order, up to the first that completes `target` transitions.

    Games take further seeds for as long as episodes are wanted; those still running at the end are dropped.
    """
    due: deque[int] = deque()

    def seeds() -> Iterator[int]:
        for index in itertools.count():
            due.append(episode_seed(seed, behaviour, index))
            yield due[-1]

    n_stored = 0
    early: dict[int, Episode] = {}
    for ended in play(env, policy, seeds(), Recording(transitions=True)):
        early[ended.seed] = ended
        while due and due[0] in early:
            episode = early.pop(due.popleft())
            yield episode
            n_stored += episode.length
            if n_stored >= target:
                return

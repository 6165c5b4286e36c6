"""Rules of a whole episode catch the bugs they are there for."""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import pytest
from toys import RIGHT, LongToy, ToyTeamEnv

from env_adapters.api import ActionArray, FloatArray, RenderState, Step
from env_adapters.conformance import ConformanceError, check_adapter
from env_adapters.snapshots import digest


class GlobalGenerator(LongToy):
    def advance(self, actions: ActionArray) -> None:
        super().advance(actions)
        self.cells[0] += np.random.random() < 0.5  # noqa: NPY002


class SeedsGlobalGenerator(LongToy):
    def reset(self, episode_seed: int) -> Step:
        np.random.seed(episode_seed)  # noqa: NPY002
        return super().reset(episode_seed)


class LeftoverOfLastEpisode(LongToy):
    episodes = 0

    def reset(self, episode_seed: int) -> Step:
        step = super().reset(episode_seed)
        self.cells[0] += self.episodes
        self.episodes += 1
        return step if self.episodes == 1 else self.observe()


class SharedBetweenInstances(LongToy):
    current: ClassVar[list[int]] = [0]

    def reset(self, episode_seed: int) -> Step:
        self.current[0] = episode_seed
        return super().reset(episode_seed)

    def draws(self) -> np.random.Generator:
        return np.random.default_rng([self.current[0], self.steps])


class ReusedObservationBuffer(LongToy):
    buffer: FloatArray | None = None

    def observe(self) -> Step:
        step = super().observe()
        fresh = np.stack([view.observation for view in step.views])
        if self.buffer is None:
            self.buffer = fresh
        self.buffer[:] = fresh
        views = (view._replace(observation=row) for view, row in zip(step.views, self.buffer, strict=True))
        return step._replace(views=tuple(views))


class LiveRenderState(LongToy):
    def render_state(self) -> RenderState:
        return super().render_state()._replace(arrays={"cells": self.cells})


class HandsOutItsOwnCells(LiveRenderState):
    """Never changes an array it has handed out, but goes on reading it."""

    def advance(self, actions: ActionArray) -> None:
        self.cells = self.cells.copy()
        super().advance(actions)


class KeepsGivenActions(LongToy):
    last: ActionArray = np.zeros(2, dtype=np.int64)

    def reset(self, episode_seed: int) -> Step:
        self.last = np.zeros(2, dtype=np.int64)
        return super().reset(episode_seed)

    def checked(self, joint_action: ActionArray) -> ActionArray:
        super().checked(joint_action)
        return joint_action

    def advance(self, actions: ActionArray) -> None:
        super().advance(actions)
        self.cells[0] = (self.cells[0] + (self.last[0] == RIGHT)).clip(0, self.length - 1)
        self.last = actions


class CutOneStepEarly(LongToy):
    @property
    def truncated(self) -> bool:
        return self.steps >= self.spec.episode_limit - 1


class CutOneStepLate(LongToy):
    @property
    def truncated(self) -> bool:
        return self.steps > self.spec.episode_limit


class GoesOnAfterTheEnd(LongToy):
    def step(self, joint_action: ActionArray) -> Step:
        self.reward = 0.0
        self.advance(self.checked(joint_action))
        return self.observe()


class SnapshotForgetsTheStep(LongToy):
    def restore(self, snapshot: bytes) -> Step:
        step, seed = self.steps, self.seed
        super().restore(snapshot)
        self.steps = step if seed >= 0 else 0
        return self.observe()


class SnapshotForgetsTheWind(LongToy):
    def restore(self, snapshot: bytes) -> Step:
        super().restore(snapshot)
        self.seed = 0
        return self.observe()

    def state_hash(self) -> str:
        return digest({name: array for name, array in self.future().items() if name != "seed"})


class TakesAnySnapshot(LongToy):
    def restore(self, snapshot: bytes) -> Step:
        with np.load(io.BytesIO(snapshot), allow_pickle=False) as arrays:
            self.cells = arrays.get("cells", self.cells)
            self.steps, self.seed = int(arrays.get("steps", 0)), int(arrays.get("seed", 0))
        return self.observe()


class ConstantHash(LongToy):
    def state_hash(self) -> str:
        return "0" * 32


class HashOfTheStepOnly(LongToy):
    def state_hash(self) -> str:
        return digest({"steps": np.array(self.steps)})


PLANTS = [
    (GlobalGenerator, "no global generator", "numpy.random"),
    (SeedsGlobalGenerator, "no global generator", "seeds it"),
    (LeftoverOfLastEpisode, "the seed decides the episode", "differs at moment"),
    (SharedBetweenInstances, "worlds side by side are independent", "differs at moment"),
    (ReusedObservationBuffer, "arrays belong to the caller", "observation of agent"),
    (LiveRenderState, "arrays belong to the caller", "render_state.cells"),
    (HandsOutItsOwnCells, "writing into a returned or given array changes nothing", "differs at moment 1"),
    (KeepsGivenActions, "writing into a returned or given array changes nothing", "differs at moment"),
    (CutOneStepEarly, "episode limit", "truncated at step 11, but spec.episode_limit is 12"),
    (CutOneStepLate, "episode limit", "step 12 does not end"),
    (GoesOnAfterTheEnd, "ended worlds stay as they are", "differs at moment 13"),
    (SnapshotForgetsTheStep, "snapshots replay in the same world", "differs at moment 0"),
    (SnapshotForgetsTheWind, "snapshots replay in the same world", "differs at moment"),
    (TakesAnySnapshot, "foreign snapshots", "a foreign snapshot was accepted"),
    (ConstantHash, "state hash", "share the hash"),
    (HashOfTheStepOnly, "state hash", "share the hash"),
]


@pytest.mark.parametrize(
    ("plant", "rule", "detail"), PLANTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_bug_of_a_world_is_named(plant: type[ToyTeamEnv], rule: str, detail: str) -> None:
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(ConformanceError) as caught:
        check_adapter(plant)
    assert caught.value.rule == rule, str(caught.value)
    assert str(caught.value).startswith(f"{rule}: ")
    assert detail in str(caught.value)

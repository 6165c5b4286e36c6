"""Rules of a single step catch the bugs they are there for, and a sound world passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from toys import RIGHT, LongToy, ToyTeamEnv

from env_adapters.api import ActionArray, BoolArray, FloatArray, Step
from env_adapters.conformance import ConformanceError, check_adapter, check_vector_adapter
from env_adapters.errors import ActionError
from env_adapters.vector import LoopVectorEnv


def test_the_toy_keeps_every_rule() -> None:
    check_adapter(ToyTeamEnv)
    check_adapter(LongToy)
    check_adapter(lambda: ToyTeamEnv(n_agents=1))


def test_a_batch_of_toys_keeps_every_rule() -> None:
    check_vector_adapter(lambda n: LoopVectorEnv(ToyTeamEnv, n), ToyTeamEnv)


def test_a_foreign_snapshot_of_a_real_world_is_refused_by_the_toy() -> None:
    other = ToyTeamEnv(scenario="toy-v2")
    other.reset(1)
    check_adapter(ToyTeamEnv, foreign=other.snapshot())


def test_one_seed_is_not_enough() -> None:
    with pytest.raises(ValueError, match="two episode seeds"):
        check_adapter(ToyTeamEnv, seeds=(1,))
    with pytest.raises(ValueError, match="two episode seeds"):
        check_vector_adapter(lambda n: LoopVectorEnv(ToyTeamEnv, n), ToyTeamEnv, seeds=(1,))


class EmptyMask(LongToy):
    def available(self) -> BoolArray:
        mask = super().available()
        mask[-1] &= self.steps != 3
        return mask


class RefusesTheLastAction(LongToy):
    def checked(self, joint_action: ActionArray) -> ActionArray:
        if np.shape(joint_action) == (2,) and joint_action[1] == RIGHT and self.steps > 2:
            raise ActionError("agent 1 does not like going right")
        return super().checked(joint_action)


class IntegerMask(LongToy):
    def available(self) -> Any:
        return super().available().astype(np.int64)


class OneMaskMissing(LongToy):
    def observe(self) -> Step:
        step = super().observe()
        return step._replace(views=(*step.views[:-1], step.views[-1]._replace(available_actions=None)))


class NumpyReward(LongToy):
    def observe(self) -> Step:
        step = super().observe()
        return step._replace(reward=np.float32(step.reward))  # type: ignore[arg-type]


class RewardAfterReset(LongToy):
    def reset(self, episode_seed: int) -> Step:
        return super().reset(episode_seed)._replace(reward=1.0)


class DoubleObservation(LongToy):
    def observe(self) -> Step:
        step = super().observe()
        views = tuple(view._replace(observation=view.observation.astype(np.float64)) for view in step.views)
        return step._replace(views=views)


class NotFinite(LongToy):
    def state(self) -> FloatArray:
        return super().state() / np.float32(self.steps < 5)


class WrongSize(LongToy):
    def state(self) -> FloatArray:
        return super().state()[:-1]


class CounterStartsAtOne(LongToy):
    def observe(self) -> Step:
        step = super().observe()
        return step._replace(views=tuple(view._replace(step=view.step + 1) for view in step.views))


class ChangingInfo(LongToy):
    def observe(self) -> Step:
        step = super().observe()
        return step._replace(info={**step.info, **({"wind": True} if self.steps else {})})


class WonMissing(LongToy):
    def observe(self) -> Step:
        return super().observe()._replace(info={"steps": self.steps})


class AcceptsUnavailable(LongToy):
    def checked(self, joint_action: ActionArray) -> ActionArray:
        actions = np.asarray(joint_action).clip(-3, 2)
        if actions.shape != (2,) or actions.dtype != np.int64:
            raise ActionError(f"two integers expected, not {actions}")
        return actions


class ChecksTheFirstAgentOnly(LongToy):
    def checked(self, joint_action: ActionArray) -> ActionArray:
        good = np.array(joint_action)
        if good.shape == (2,) and good.dtype == np.int64:
            good[1:] = 0
        super().checked(good)
        return np.asarray(joint_action).clip(-3, 2)


class RaisesIndexError(LongToy):
    def checked(self, joint_action: ActionArray) -> ActionArray:
        try:
            return super().checked(joint_action)
        except ActionError as error:
            raise IndexError from error


class CountsBeforeItChecks(LongToy):
    def step(self, joint_action: ActionArray) -> Step:
        self.steps += 1
        self.checked(joint_action)
        self.steps -= 1
        return super().step(joint_action)


class ErrorNamesNobody(LongToy):
    def checked(self, joint_action: ActionArray) -> ActionArray:
        try:
            return super().checked(joint_action)
        except ActionError:
            raise ActionError("bad action") from None


class ClosesOnce(LongToy):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True

    def __exit__(self, *_: object) -> None:
        """Leave closing to the check."""


PLANTS = [
    (EmptyMask, "masks", "no action is available of agent 1 at step 3"),
    (RefusesTheLastAction, "available actions are accepted", "does not like going right"),
    (IntegerMask, "types", "available_actions of agent 0 at step 0 is int64, expected bool"),
    (OneMaskMissing, "masks", "1 of 2 agents have none"),
    (NumpyReward, "reward", "expected a finite float"),
    (RewardAfterReset, "reward", "after a reset is 1.0"),
    (DoubleObservation, "types", "is float64, expected float32"),
    (NotFinite, "finite", "state at step 5"),
    (WrongSize, "shapes", "has shape (2,), expected (3,)"),
    (CounterStartsAtOne, "step counter", "of agent 0 at step 0 is 1"),
    (ChangingInfo, "info", "wind"),
    (WonMissing, "info", "'won' at step 0 is None"),
    (AcceptsUnavailable, "wrong actions", "was accepted"),
    (ChecksTheFirstAgentOnly, "wrong actions", "of agent 1 at step 0 was accepted"),
    (RaisesIndexError, "wrong actions", "raised IndexError, expected ActionError"),
    (CountsBeforeItChecks, "a wrong action changes nothing", "one agent too many at step 0"),
    (ErrorNamesNobody, "wrong actions", "does not name agent 0"),
    (ClosesOnce, "close", "already closed"),
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

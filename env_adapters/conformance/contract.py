"""What can be read off one step: types, shapes, ranges, masks, names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from env_adapters.api import ActionArray, AgentView, DecentralizedEnv, Step, TeamSpec, VectorEnv
from env_adapters.conformance.playthrough import draw_joint_action
from env_adapters.conformance.violation import ConformanceError, accepted, require


def check_contract(env: DecentralizedEnv, seed: int, steps: int) -> None:
    """Every step of one episode, at most `steps` long, keeps the contract of `Step`."""
    rng = np.random.default_rng(seed)
    step = env.reset(seed)
    names = set(step.info)
    for time in range(steps + 1):
        _check_step(env, step, time)
        require(set(step.info) == names, "info", f"has {set(step.info)} at step {time}, {names} at step 0")
        if step.terminated or step.truncated:
            break
        masks = [view.available_actions for view in step.views if view.available_actions is not None]
        action = draw_joint_action(np.stack(masks) if masks else None, env.spec, rng)
        with accepted():
            step = env.step(action)


def _check_step(env: DecentralizedEnv, step: Step, time: int) -> None:
    spec, where = env.spec, f"at step {time}"
    require(len(step.views) == spec.n_agents, "views", f"{len(step.views)} {where}, expected {spec.n_agents}")
    for i, view in enumerate(step.views):
        require(view.agent_index == i, "views", f"agent_index of view {i} {where} is {view.agent_index}")
        require(view.step == time, "step counter", f"of agent {i} {where} is {view.step}")
        _check_view(view, spec, f"of agent {i} {where}")
    without = sum(view.available_actions is None for view in step.views)
    require(without in (0, spec.n_agents), "masks", f"{without} of {spec.n_agents} agents have none {where}")
    _check_array("state", env.state(), np.float32, (spec.state_size,), where)
    is_number = type(step.reward) is float and math.isfinite(step.reward)
    require(is_number, "reward", f"{where} is {step.reward!r}, expected a finite float")
    require(time > 0 or step.reward == 0.0, "reward", f"after a reset is {step.reward}, expected 0")
    flags = (step.terminated, step.truncated)
    require(all(type(flag) is bool for flag in flags), "types", f"ends {where} are {flags}, expected bool")
    steps, won = step.info.get("steps"), step.info.get("won")
    require(steps == time, "info", f"'steps' {where} is {steps}")
    require(not spec.has_win or isinstance(won, bool), "info", f"'won' {where} is {won!r}, expected bool")


def _check_view(view: AgentView, spec: TeamSpec, where: str) -> None:
    _check_array("observation", view.observation, np.float32, (spec.observation_size,), where)
    _check_masks(view.available_actions, spec, (spec.action_size,), where)


def check_batch_contract(env: VectorEnv, seeds: Sequence[int]) -> None:
    """The first two steps of a batch keep the contract of `VectorStep`."""
    spec, many = env.spec, (env.n_games,)
    rng = np.random.default_rng(0)
    step = env.reset(np.array(seeds, dtype=np.int64))
    for time in range(2):
        where = f"at step {time}"
        shape = (*many, spec.n_agents, spec.observation_size)
        _check_array("observations", step.observations, np.float32, shape, where)
        _check_masks(step.available_actions, spec, (*many, spec.n_agents, spec.action_size), where)
        _check_array("state", env.state(), np.float32, (*many, spec.state_size), where)
        _check_array("rewards", step.rewards, np.float64, many, where)
        _check_array("terminated", step.terminated, np.bool_, many, where)
        _check_array("truncated", step.truncated, np.bool_, many, where)
        _check_array("info['steps']", step.info.get("steps"), np.int64, many, where)
        if spec.has_win:
            _check_array("info['won']", step.info.get("won"), np.bool_, many, where)
        masks = [None] * env.n_games if step.available_actions is None else list(step.available_actions)
        actions = np.stack([draw_joint_action(mask, spec, rng) for mask in masks])
        with accepted():
            step = env.step(cast(ActionArray, actions))


def _check_array(
    name: str, array: object, kind: type[np.generic], shape: tuple[int, ...], where: str
) -> None:
    if not isinstance(array, np.ndarray):
        raise ConformanceError("types", f"{name} {where} is {type(array).__name__}, expected an array")
    require(array.dtype == kind, "types", f"{name} {where} is {array.dtype}, expected {kind.__name__}")
    require(array.shape == shape, "shapes", f"{name} {where} has shape {array.shape}, expected {shape}")
    finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
    require(finite, "finite", f"{name} {where} holds a number that is not finite")


def _check_masks(masks: npt.NDArray[Any] | None, spec: TeamSpec, shape: tuple[int, ...], where: str) -> None:
    if masks is None:
        return
    require(spec.action_kind == "discrete", "masks", f"continuous actions have one {where}")
    _check_array("available_actions", masks, np.bool_, shape, where)
    require(bool(masks.any(axis=-1).all()), "masks", f"no action is available {where}")

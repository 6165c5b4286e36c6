"""What a robot's joint action must be, and what happens to numbers outside [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from env_adapters.api import ActionArray, FloatArray, TeamSpec
from env_adapters.errors import ActionError, InvalidValueError

OUT_OF_RANGE: Final = ("clip", "error", "upstream")
"""What to do with a number outside [-1, 1]: clip it before the world sees it; refuse it; or hand it on as it
is, as Gymnasium does: MuJoCo clamps the torque, the control cost is taken on the raw number."""


def check_out_of_range(rule: str) -> None:
    """Raise InvalidValueError unless `rule` is one of `OUT_OF_RANGE`."""
    if rule not in OUT_OF_RANGE:
        raise InvalidValueError(f"out_of_range is {rule!r}; give one of: {', '.join(OUT_OF_RANGE)}")


def check_joint_action(
    joint_action: ActionArray, spec: TeamSpec, sizes: Sequence[int], step: int, rule: str
) -> FloatArray:
    """Make a joint action fit for the world.

    Args:
        joint_action: floats [N, A].
        spec: the world's.
        sizes: [N], how many leading components of each agent's action drive something; the rest is padding,
            which must be finite and may else be anything.
        step: how many steps the episode has had, for messages.
        rule: one of `OUT_OF_RANGE`.

    Returns:
        [N, A], a copy in single precision.

    Raises:
        ActionError: wrong shape or type, a number that is not finite or, under "error", outside [-1, 1].
    """
    action = np.asarray(joint_action)
    where = f"of {spec.scenario} at step {step}"
    shape = (spec.n_agents, spec.action_size)
    if action.shape != shape:
        raise ActionError(f"joint action {where} has shape {action.shape}, expected {shape}")
    if not np.issubdtype(action.dtype, np.floating):
        raise ActionError(f"joint action {where} has type {action.dtype}, expected floating-point numbers")
    if not np.isfinite(action).all():
        agent = int(np.argwhere(~np.isfinite(action))[0, 0])
        raise ActionError(f"action of agent {agent} {where} is not finite: {action[agent].tolist()}")
    if rule == "error":
        for agent, size in enumerate(sizes):
            outside = action[agent, :size][np.abs(action[agent, :size]) > 1.0]
            if outside.size:
                raise ActionError(
                    f"action of agent {agent} {where} has the number {outside[0]:.9g}, outside [-1, 1]"
                )
    return in_single_precision(action, rule)


def in_single_precision(action: npt.NDArray[Any], rule: str) -> FloatArray:
    """A contiguous copy of finite numbers, clipped to [-1, 1] unless the rule is "upstream"."""
    limit = np.finfo(np.float32).max if rule == "upstream" else 1.0
    fit: FloatArray = np.ascontiguousarray(np.clip(action, -limit, limit), dtype=np.float32)
    return fit

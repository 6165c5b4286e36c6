"""What a robot is paid for, when its episode ends and what its agents see, as data; by flavour and task.

Sources: Gym 0.17.2's `HalfCheetah-v2`, `Hopper-v2`, `Ant-v2` under the wrapper of OMIGA (which is that of
TRPO-in-MARL), and Gymnasium's `*-v5` with default arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from env_adapters.api import DoubleArray
from env_adapters.mamujoco.robots import GYMNASIUM, OMIGA

RulesArray = npt.NDArray[Any]
NEVER, HOPPER, ANT = 0, 1, 2
"""When a robot has fallen: never; Hopper's rule; Ant's rule."""


class Rules(NamedTuple):
    """Numbers that the kernels need, see `rules_array`."""

    first_position: int
    """Joint positions from this one on are shown; those before are the place on the ground."""
    velocity_limit: float
    """Shown joint velocities are clipped to this, m/s or rad/s."""
    first_contact: int
    """Contact forces from this one on are shown, of six per body; always zero in the legacy flavour."""
    frame_s: float
    """Seconds per environment step."""
    torso_speed: bool
    """Speed is measured on the torso's body position, which lags the joints by one physics step."""
    control_cost: float
    """Times the sum of squared actions."""
    contact_cost: float
    """Times the sum of squared contact forces, each clipped to [-1, 1]."""
    alive: float
    """Bonus per step."""
    alive_when_fallen: bool
    """Whether the step that ends an episode earns the bonus too, as in Gym's v2."""
    fall: int
    """`NEVER`, `HOPPER` or `ANT`."""
    legacy: bool
    """The omiga flavour: agents see all and their one-hot index, standardised over that one vector; actions pass
    through the float32 arithmetic of its NormalizedActions wrapper."""


def rules_array(rules: Rules) -> RulesArray:
    """Rules as a structured array of length one, whose fields kernels read by name (tuples are slow to pass)."""
    kinds = {int: np.int64, float: np.float64, bool: np.bool_}
    fields = [(name, kinds[type(value)]) for name, value in rules._asdict().items()]
    return np.array([tuple(rules)], dtype=fields)


@dataclass(frozen=True)
class Start:
    """How an episode begins: noise around the model's initial pose, drawn in Gymnasium's order."""

    scale: float
    """Joint positions are uniform in ± this, metres or radians."""
    gaussian_velocity: bool
    """Joint velocities are Gaussian with this standard deviation; else uniform in ± this."""

    def draw(self, initial: DoubleArray, n_velocities: int, seed: int) -> tuple[DoubleArray, DoubleArray]:
        """Positions [nq] around the initial ones, and velocities [nv]; the same as Gymnasium's for this seed."""
        generator = np.random.default_rng(seed)
        positions = initial + generator.uniform(-self.scale, self.scale, len(initial))
        if self.gaussian_velocity:
            return positions, self.scale * generator.standard_normal(n_velocities)
        return positions, generator.uniform(-self.scale, self.scale, n_velocities)


@dataclass(frozen=True)
class Dynamics:
    """How the physics of a task is stepped."""

    frame_skip: int
    """Physics steps per environment step."""
    n_contact: int
    """Contact forces that belong to the world, six per body; 0 where rewards and agents ignore them."""
    start: Start


DYNAMICS: Final = {
    "HalfCheetah": Dynamics(5, 0, Start(0.1, True)),
    "Hopper": Dynamics(4, 0, Start(0.005, False)),
    "Ant": Dynamics(5, 14 * 6, Start(0.1, True)),
}
"""By task; the same in Gym's v2 and Gymnasium's v5."""

_CHEETAH = Rules(
    first_position=1,
    velocity_limit=float("inf"),
    first_contact=0,
    frame_s=0.05,
    torso_speed=False,
    control_cost=0.1,
    contact_cost=0.0,
    alive=0.0,
    alive_when_fallen=True,
    fall=NEVER,
    legacy=True,
)
_HOPPER = _CHEETAH._replace(velocity_limit=10.0, frame_s=0.008, control_cost=1e-3, alive=1.0, fall=HOPPER)
# Contact forces were zero in MuJoCo 2.0 and 2.1 (openai/gym issue 1541): zeros are shown, and cost nothing.
_ANT = _CHEETAH._replace(first_position=2, torso_speed=True, control_cost=0.5, alive=1.0, fall=ANT)

RULES: Final = {
    (OMIGA, "HalfCheetah"): _CHEETAH,
    (OMIGA, "Hopper"): _HOPPER,
    (OMIGA, "Ant"): _ANT,
    (GYMNASIUM, "HalfCheetah"): _CHEETAH._replace(alive_when_fallen=False, legacy=False),
    (GYMNASIUM, "Hopper"): _HOPPER._replace(alive_when_fallen=False, legacy=False),
    # The forces on the world itself are not shown, but cost all the same.
    (GYMNASIUM, "Ant"): _ANT._replace(
        first_contact=6, contact_cost=5e-4, alive_when_fallen=False, legacy=False
    ),
}
"""By layout id and task."""

"""Reward and outcome of one step of SMAC v1 and SMACv2, computed from a unit table.

The arithmetic follows upstream's `reward_battle`, `update_units` and `step` (oxwhirl/smac d6aab33,
oxwhirl/smacv2 577ab5a) in its order, so that sums agree to the last bit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.errors import InvalidValueError
from env_adapters.jit import kernel
from env_adapters.starcraft.maps import MapInfo
from env_adapters.starcraft.smac_options import RewardOptions
from env_adapters.starcraft.table import HEALTH, SHIELD, TYPE
from env_adapters.starcraft.units import ROW, UNITS

ONGOING: Final = 2
LOST: Final = -1
WON: Final = 1
BOTH_DEAD: Final = 0
"""Nobody is left: the battle is over and nobody has won."""

NO_MEDIVAC_RULE: Final = 0
MEDIVAC_RULE_V1: Final = 1
"""Agents lose with nothing but Medivacs; the enemy loses with exactly one unit left, a Medivac."""
MEDIVAC_RULE_V2: Final = 2
"""Either side loses with nothing but Medivacs."""

SIGNED: Final = 0
"""Own losses count against the agents."""
ABSOLUTE: Final = 1
"""SMAC v1: absolute value of the enemy's losses, so that its healing pays too."""
CLIPPED: Final = 2
"""SMACv2: the enemy's losses, at least 0."""

_MEDIVAC: Final = ROW["Medivac"]


class Rules(NamedTuple):
    """What the kernels need to know to reward a step and to tell the end of a battle."""

    n_allies: int
    n_enemies: int
    medivac_rule: int
    positive_rule: int
    sparse: bool
    death_value: float
    negative_scale: float
    win: float
    defeat: float
    reward_unit: float
    """Unscaled reward that is worth 1."""


def max_reward(info: MapInfo, options: RewardOptions) -> float:
    """Unscaled reward for killing every enemy of a SMAC v1 map and winning, summed as upstream does."""
    enemies = [UNITS[row] for row in info.team(2)]
    total = len(enemies) * options.reward_death_value + options.reward_win
    for unit in enemies:
        total += unit.health + unit.shield
    return total


def smac_rules(info: MapInfo, options: RewardOptions) -> Rules:
    """Rules of a SMAC v1 map; raises InvalidValueError like `make_rules`."""
    return make_rules(
        n_allies=len(info.team(1)),
        n_enemies=len(info.team(2)),
        medivac_rule=MEDIVAC_RULE_V1 if info.map_type == "MMM" else NO_MEDIVAC_RULE,
        positive_rule=ABSOLUTE,
        options=options,
        max_reward=max_reward(info, options),
    )


def make_rules(
    *,
    n_allies: int,
    n_enemies: int,
    medivac_rule: int,
    positive_rule: int,
    options: RewardOptions,
    max_reward: float,
) -> Rules:
    """Collect the rules of any SMAC map.

    Args:
        n_allies: agents.
        n_enemies: enemies.
        medivac_rule: NO_MEDIVAC_RULE, MEDIVAC_RULE_V1 (map type MMM) or MEDIVAC_RULE_V2 (MMM, terran_gen).
        positive_rule: ABSOLUTE (v1) or CLIPPED (v2); used if `options.reward_only_positive`.
        options: the reward options.
        max_reward: unscaled reward of a perfect battle.

    Raises:
        InvalidValueError: if rewards shall be scaled and `max_reward` is not above 0.
    """
    if options.reward_scale and max_reward <= 0.0:
        raise InvalidValueError(
            f"rewards cannot be scaled: a perfect battle is worth {max_reward:g}; "
            "raise reward_win or reward_death_value, or set reward_scale=False"
        )
    return Rules(
        n_allies=n_allies,
        n_enemies=n_enemies,
        medivac_rule=medivac_rule,
        positive_rule=positive_rule if options.reward_only_positive else SIGNED,
        sparse=options.reward_sparse,
        death_value=options.reward_death_value,
        negative_scale=options.reward_negative_scale,
        win=options.reward_win,
        defeat=options.reward_defeat,
        reward_unit=max_reward / options.reward_scale_rate if options.reward_scale else 1.0,
    )


@kernel
def battle_reward(game: DoubleArray, rules: Rules, previous: DoubleArray, counted: BoolArray) -> float:
    """Unscaled reward of one step, without that for its outcome.

    Args:
        game: the unit table after the step.
        rules: the rules.
        previous: health plus shield of every unit before the step, [U].
        counted: deaths already rewarded, [U]; updated, except under the sparse reward, as upstream.
    """
    if rules.sparse:
        return 0.0
    damage, deaths, own_loss = 0.0, 0.0, 0.0
    for u in range(rules.n_allies + rules.n_enemies):
        if counted[u]:
            continue
        died = game[HEALTH, u] <= 0.0
        counted[u] = died
        loss = previous[u] if died else previous[u] - game[HEALTH, u] - game[SHIELD, u]
        if u < rules.n_allies:
            own_loss += rules.negative_scale * loss
            if died and rules.positive_rule == SIGNED:
                deaths -= rules.death_value * rules.negative_scale
        else:
            damage += loss
            if died:
                deaths += rules.death_value
    if rules.positive_rule == SIGNED:
        return damage + deaths - own_loss
    if rules.positive_rule == ABSOLUTE:
        return abs(damage + deaths)
    return max(damage + deaths, 0.0)


@kernel
def outcome(game: DoubleArray, rules: Rules) -> int:
    """ONGOING, WON, LOST or BOTH_DEAD after a step; a defeat is looked for first."""
    n = rules.n_allies
    allies = allied_medivacs = enemies = enemy_medivacs = 0
    for u in range(n + rules.n_enemies):
        if game[HEALTH, u] <= 0.0:
            continue
        medivac = 1 if int(game[TYPE, u]) == _MEDIVAC else 0
        if u < n:
            allies += 1
            allied_medivacs += medivac
        else:
            enemies += 1
            enemy_medivacs += medivac
    if rules.medivac_rule != NO_MEDIVAC_RULE and allies == allied_medivacs:
        return LOST
    if allies == 0:
        return LOST if enemies > 0 else BOTH_DEAD
    if enemies == 0:
        return WON
    if rules.medivac_rule == MEDIVAC_RULE_V1 and enemies == 1 and enemy_medivacs == 1:
        return WON
    if rules.medivac_rule == MEDIVAC_RULE_V2 and enemies == enemy_medivacs:
        return WON
    return ONGOING


@kernel
def step_reward(battle: float, code: int, rules: Rules) -> float:
    """Scaled reward of one step from its `battle_reward` and its `outcome`."""
    if rules.sparse:
        total = 1.0 if code == WON else -1.0 if code == LOST else 0.0
    else:
        total = battle
        if code == WON:
            total += rules.win
        elif code == LOST:
            total += rules.defeat
    return total / rules.reward_unit

"""Options of the SMACv2 layer: upstream's constructor arguments, their defaults, and what they do to the layout.

Names are those of smacv2's `StarCraft2Env` (commit 577ab5a) except for the two capabilities, which upstream
configures as nested tables. `obs_own_pos` and `use_unit_ranges` default to True, as in all of upstream's example
configurations, not to the constructor's False.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, ClassVar, Final, Self

from env_adapters.errors import InvalidValueError, UnknownNameError, unknown_name
from env_adapters.starcraft.smac_options import LayoutOptions

Range = tuple[float, float]
"""Lower and upper bound of a uniform distribution."""

MAX_FOV_ACTIONS: Final = 64
"""The layer has room for this many look directions."""

VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "": {},
    "conic": {"conic_fov": True},
    "epo": {"prob_obs_enemy": 0.0, "action_mask": False},
}
"""Last part of a scenario's name -> its options; `epo` is the paper's extended partial observability."""


@dataclass(frozen=True)
class SmacV2Options(LayoutOptions):
    """Everything a user may change about SMACv2's observations, masks, state and reward.

    Raises:
        InvalidValueError: a value of the wrong type, not finite or out of range.
    """

    family: ClassVar[str] = "SMACv2"
    stems: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smacv2": {},
        "smacv2-fixed": {"exact_observations": False},
    }

    obs_all_health: bool = True
    """Health and shield of everybody in sight; forces `obs_own_health`."""
    obs_own_health: bool = True
    obs_last_action: bool = False
    """Last actions of allies in sight."""
    obs_pathing_grid: bool = False
    """Walkability of eight cells around the agent."""
    obs_terrain_height: bool = False
    """Height of nine cells: those eight and the agent's own."""
    obs_instead_of_state: bool = False
    """The state is all observations in a row."""
    obs_timestep_number: bool = False
    obs_own_pos: bool = True
    obs_starcraft: bool = True
    """False leaves nothing but the time step in the observation."""
    conic_fov: bool = False
    """Agents see and shoot only in a cone round the direction they look in, which costs an action to change."""
    num_fov_actions: int = 12
    """Look directions; the cone is as wide as the angle between two of them."""
    state_last_action: bool = True
    state_timestep_number: bool = False
    use_unit_ranges: bool = True
    """Sight and shooting ranges by unit type instead of 9 and 6."""
    min_attack_range: float = 2.0
    """Least shooting range in cells where ranges go by unit type."""
    kill_unit_step_mul: int = 2
    """Game loops before the end of a step at which agents below their health level die."""
    fully_observable: bool = False
    """Everybody alive is shown, whatever the distance."""
    prob_obs_enemy: float = 1.0
    """Probability that an agent may see an enemy that a team mate has found first."""
    action_mask: bool = True
    """False offers every living target; an order that cannot be carried out is dropped silently."""
    attack_probability: Range | None = None
    """Each agent's chance that an attack order goes through is drawn from this range at reset ("attack" upstream)."""
    observe_attack_probs: bool = True
    """Show team mates' attack probabilities; False leaves zeros in their place."""
    health_level: Range | None = None
    """Each agent's share of life below which it dies is drawn from this range at reset ("health" upstream)."""
    observe_teammate_health: bool = True
    """Show team mates' health and health levels where `health_level` is set; False leaves zeros."""
    mask_probability: float | None = None
    """Chance that an agent is shown health and type of an enemy, drawn once per episode and pair ("enemy_mask"
    upstream, whose name for it says the opposite)."""
    observe_teammate_types: bool = True
    """Show team mates' unit types; False leaves zeros."""
    exact_observations: bool = True
    """True keeps an upstream bug: the enemy rows before the last enemy that an agent does not know of vanish."""
    heuristic_ai: bool = False
    heuristic_rest: bool = False

    def __post_init__(self) -> None:  # checks every field itself, those of the base class included
        for field in fields(self):
            value = getattr(self, field.name)
            if not _is_of_kind(str(field.type), value):
                expected = _KINDS[str(field.type)]
                raise InvalidValueError(f"SMACv2 option {field.name} is {value!r}; give {expected}")
        self._check_ranges()

    def _check_ranges(self) -> None:
        _within("num_fov_actions", self.num_fov_actions, 2, MAX_FOV_ACTIONS)
        _within("prob_obs_enemy", self.prob_obs_enemy, 0.0, 1.0)
        _within("mask_probability", self.mask_probability or 0.0, 0.0, 1.0)
        _within("kill_unit_step_mul", self.kill_unit_step_mul, 0, 8)
        _within("min_attack_range", self.min_attack_range, 0.0, 100.0)
        if not self.reward_scale_rate > 0.0:
            raise InvalidValueError(
                f"SMACv2 option reward_scale_rate is {self.reward_scale_rate}; give more than 0"
            )
        for name, limit in (("attack_probability", 1.0), ("health_level", 0.99)):
            bounds: Range | None = getattr(self, name)
            if bounds is not None and not 0.0 <= bounds[0] <= bounds[1] <= limit:
                raise InvalidValueError(
                    f"SMACv2 option {name} is {bounds}; give a lower and an upper bound between 0 and {limit}"
                )
        if not (self.obs_starcraft or self.obs_timestep_number):
            raise InvalidValueError(
                "SMACv2 option obs_starcraft is False, which leaves no observation; set obs_timestep_number too"
            )

    @classmethod
    def parse(cls, **values: Any) -> Self:
        """Build options from keyword arguments; a pair may be a list.

        Raises:
            UnknownNameError: an argument that is no option; names the nearest.
            InvalidValueError: as the class itself.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("SMACv2 option", name, known, "the fields of SmacV2Options")
        options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**options)

    @property
    def layout_id(self) -> str:
        """Name of the layout: `smacv2`, plus each option that changes what a feature means, `no_NAME` if off.

        The corrected observations are `smacv2-fixed`. Rewards, masks and who is told of an enemy change no feature.
        """
        words = ["smacv2" if self.exact_observations else "smacv2-fixed"]
        for name in _LAYOUT_OPTIONS:
            value = getattr(self, name)
            if value == _DEFAULTS[name]:
                continue
            if isinstance(value, bool):
                words.append(name if value else f"no_{name}")
            elif name in _RANGES:  # the bounds change no feature, having the feature does
                words.append(name)
            else:
                words.append(f"{name}={_written(value)}")
        return "+".join(words)

    @classmethod
    def _read(cls, word: str, given: Mapping[str, object]) -> tuple[str, object]:
        name, _, text = word.partition("=")
        if word in _WORDS:
            return _WORDS[word]
        if word in _RANGES and word in given:
            return word, given[word]
        if word in _RANGES:
            raise UnknownNameError(
                f"a layout's id does not tell the bounds of {word}; give them too: {word}=(LOWER, UPPER) in Python"
            )
        try:
            return name, _NUMBERS[name](text)
        except (KeyError, ValueError):
            known = [*_WORDS, *_RANGES, *(f"{number}=NUMBER" for number in _NUMBERS)]
            raise unknown_name("SMACv2 layout option", word, known, "the fields of SmacV2Options") from None


_DEFAULTS: Final = {field.name: field.default for field in fields(SmacV2Options)}
_RANGES: Final = ("attack_probability", "health_level")
_NUMBERS: Final = {"num_fov_actions": int, "min_attack_range": float, "mask_probability": float}
_LAYOUT_OPTIONS: Final = (
    *(name for name in _DEFAULTS if name.startswith(("obs_", "state_", "observe_"))),
    "conic_fov",
    "num_fov_actions",
    "use_unit_ranges",
    "min_attack_range",
    "fully_observable",
    *_RANGES,
    "mask_probability",
)
_WORDS: Final = {
    f"no_{name}" if _DEFAULTS[name] else name: (name, not _DEFAULTS[name])
    for name in _LAYOUT_OPTIONS
    if isinstance(_DEFAULTS[name], bool)
}
"""Words of a layout's id -> the switch and the value that is not its default."""
_KINDS: Final = {
    "bool": "True or False",
    "int": "a whole number",
    "float": "a finite number",
    "float | None": "a finite number or None",
    "Range | None": "a pair of finite numbers (lower, upper) or None",
}


def _written(value: float) -> str:
    """A number in the fewest digits that read back as the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _is_of_kind(kind: str, value: object) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return _is_number(value)
    if kind == "float | None":
        return value is None or _is_number(value)
    pair = isinstance(value, tuple) and len(value) == 2 and all(_is_number(bound) for bound in value)
    return value is None or pair


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidValueError(f"SMACv2 option {name} is {value:g}; give a number from {low:g} to {high:g}")

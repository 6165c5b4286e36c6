"""Options of the SMAC v1 environment layer, under upstream's names and with upstream's defaults.

Names, defaults and the rule that `obs_all_health` implies `obs_own_health` are those of the constructor of
`StarCraft2Env` in oxwhirl/smac (commit d6aab33).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from numbers import Real
from typing import ClassVar, Final, Self

from env_adapters.errors import InvalidValueError, UnknownNameError, unknown_name

LAYOUT: Final = "smac-v1"
"""Observation layout id of the default options."""


@dataclass(frozen=True)
class RewardOptions:
    """How a step is rewarded; the same in SMAC v1 and SMACv2.

    Values are checked when an instance is made: InvalidValueError for a wrong type or a number that makes no
    sense. Whole numbers become floats.
    """

    family: ClassVar[str] = "reward"
    """What error messages call these options."""

    reward_sparse: bool = False
    """Only 1 for a victory and -1 for a defeat, scaled like every reward."""
    reward_only_positive: bool = True
    """Leave the agents' own losses out. SMAC v1 then takes the absolute value, SMACv2 cuts at zero."""
    reward_death_value: float = 10.0
    """For each enemy that dies; also lost for each agent that dies if rewards may be negative."""
    reward_win: float = 200.0
    reward_defeat: float = 0.0
    """Added on a defeat."""
    reward_negative_scale: float = 0.5
    """Weight of the agents' own losses, unless `reward_only_positive`."""
    reward_scale: bool = True
    """Divide every reward by max_reward / reward_scale_rate."""
    reward_scale_rate: float = 20.0
    """Return of a battle in which every enemy dies, if `reward_scale`."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _checked(
                self.family, field.name, getattr(self, field.name), isinstance(field.default, bool)
            )
            object.__setattr__(self, field.name, value)
        if self.reward_scale_rate <= 0.0:
            raise InvalidValueError(
                f"{self.family} option reward_scale_rate is {self.reward_scale_rate:g}; give a number above 0"
            )

    @classmethod
    def parse(cls, **given: object) -> Self:
        """Make options from keyword arguments.

        Raises:
            UnknownNameError: for a name that is not an option, with the nearest names.
            InvalidValueError: for a value of the wrong type, or not finite.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise unknown_name(f"{cls.family} option", name, known, f"the fields of {cls.__name__}")
        return cls(**given)  # type: ignore[arg-type]  # __post_init__ checks the types


class LayoutOptions(RewardOptions):
    """Options of which some change what a feature means: each of those is a word of the layout's id."""

    stems: ClassVar[Mapping[str, Mapping[str, object]]]
    """Layout ids without words -> the options they stand for."""

    @property
    def layout_id(self) -> str:
        """Id of the layout that the options make: a stem and, joined by `+`, a word for each changed feature."""
        raise NotImplementedError

    @classmethod
    def _read(cls, word: str, given: Mapping[str, object]) -> tuple[str, object]:
        """Name and value of the option that a word stands for; UnknownNameError if there is none."""
        raise NotImplementedError

    @classmethod
    def of_layout(cls, layout: str, **given: object) -> Self:
        """Options that make a layout: the inverse of `layout_id`. What the id leaves open keeps its default.

        Args:
            layout: an id.
            given: further options. Where they and the id speak of the same feature, they must agree.

        Raises:
            UnknownNameError: not an id that `layout_id` writes, or one without the bounds of a range, not given either.
            InvalidValueError: a value out of range, or the options given make another layout.
        """
        stem, *words = layout.split("+")
        if stem not in cls.stems:
            raise unknown_name("layout", layout, cls.stems, "harness ls maps")
        named = dict(cls.stems[stem]) | dict(cls._read(word, given) for word in words)
        written = cls.parse(**named).layout_id
        if written != layout:
            raise UnknownNameError(f"there is no layout '{layout}'; its features are those of '{written}'")
        options = cls.parse(**(named | given))
        if options.layout_id != layout:
            raise InvalidValueError(
                f"layout '{layout}' does not go with the options, which make '{options.layout_id}'"
            )
        return options


@dataclass(frozen=True)
class SmacOptions(LayoutOptions):
    """Every option of SMAC v1 that changes what agents observe, what they are paid or who plays them."""

    family: ClassVar[str] = "SMAC"
    stems: ClassVar[Mapping[str, Mapping[str, object]]] = {LAYOUT: {}}

    obs_all_health: bool = True
    """Health and shield of every unit in sight; implies `obs_own_health`."""
    obs_own_health: bool = True
    obs_last_action: bool = False
    """Last actions of the allies in sight."""
    obs_pathing_grid: bool = False
    """Whether eight cells around the agent can be walked on."""
    obs_terrain_height: bool = False
    """Height of the terrain at these cells and the agent's own."""
    obs_instead_of_state: bool = False
    """The state is the agents' observations, one after the other."""
    obs_timestep_number: bool = False
    """Steps played over the episode limit; upstream puts an unused zero before it."""
    state_last_action: bool = True
    state_timestep_number: bool = False
    heuristic_ai: bool = False
    """Agents attack the nearest enemy by themselves; their actions must be available but are ignored."""
    heuristic_rest: bool = False
    """Hold `heuristic_ai` to the available actions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.obs_all_health:
            object.__setattr__(self, "obs_own_health", True)

    @property
    def layout_id(self) -> str:
        """Name of the observation and state layout: `smac-v1`, or that and each option that changes a feature.

        An option that is on by default appears as `no_NAME`. Rewards do not change the layout.
        """
        hidden = ("state_last_action", "state_timestep_number") if self.obs_instead_of_state else ()
        changed = [
            word
            for word, (name, value) in _WORDS.items()
            if name not in hidden and getattr(self, name) == value
        ]
        return "+".join([LAYOUT, *changed])

    @classmethod
    def _read(cls, word: str, given: Mapping[str, object]) -> tuple[str, object]:
        if word not in _WORDS:
            raise unknown_name(f"{cls.family} layout option", word, _WORDS, "the fields of SmacOptions")
        return _WORDS[word]


_WORDS: Final = {
    f"no_{field.name}" if field.default else field.name: (field.name, not field.default)
    for field in fields(SmacOptions)
    if field.name.startswith(("obs_", "state_"))
}
"""Words of a layout's id -> the option and the value that is not its default."""


def _checked(family: str, name: str, value: object, boolean: bool) -> bool | float:
    """The value of one option as bool or float."""
    if boolean:
        if not isinstance(value, bool):
            raise InvalidValueError(f"{family} option {name} is {value!r}; give True or False")
        return value
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise InvalidValueError(f"{family} option {name} is {value!r}; give a finite number")
    return float(value)

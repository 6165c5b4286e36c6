"""Which scenario and observation layout the data of others are.

A layout of our simulators is named only where the facts about the source say that its observations and states are
exactly that, and the sizes agree. Everything else has a name of its own, so that it is never mixed up with one.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.errors import HarnessError, MismatchError, MissingExtraError
from env_adapters.layouts import STANDARDISED_STATE, observation_layout
from env_adapters.mamujoco.robots import OMIGA
from env_adapters.scenarios import Scenario

OMIGA_MAMUJOCO = f"{OMIGA}{STANDARDISED_STATE}"
_SAME = {
    ("og_marl", "smac_v1"): "smac-v1",
    ("og_marl", "smac_v2"): "smacv2",
    ("cfcql", "smac_v1"): "smac-v1",
    ("omiga", "smac_v1"): "smac-v1-omiga",
}
"""(source, environment) -> the layout of ours that it was recorded in, with upstream's default options."""
_SOURCES = {"og-marl": "og_marl", "core": "og_marl"}
_PUBLISHING = {"og-marl", "omiga", "cfcql", "omar", "alberdice"}
"""Sources of which statistics are published."""
_ENVIRONMENTS = {"smacv1": "smac_v1", "smac": "smac_v1", "smacv2": "smac_v2"}


class Sizes(NamedTuple):
    """What the arrays of a source say."""

    n_agents: int
    observation_size: int
    state_size: int
    action_kind: Literal["discrete", "continuous"]
    action_size: int

    def __str__(self) -> str:
        actions = "actions" if self.action_kind == "discrete" else "numbers per action"
        return (
            f"{self.n_agents} agents, observations of {self.observation_size}, states of {self.state_size}, "
            f"{self.action_size} {actions}"
        )


def known_scenario(name: str) -> Scenario | None:
    """A scenario of ours by its name, with or without its version."""
    found = scenarios.SCENARIOS.get(name)
    return found or next((known for known in scenarios.SCENARIOS.values() if known.id == name), None)


def catalog_name(source: str, environment: str, scenario: str, quality: str) -> str:
    """`SOURCE/ENVIRONMENT/SCENARIO/QUALITY` as the catalog lists datasets; empty for sources that publish nothing.

    Qualities are written `Good`, `Medium-Replay`, however the source spells them.
    """
    source = _SOURCES.get(source, source).replace("_", "-")
    words = [word.capitalize() for word in re.split("[-_]", quality) if word]
    parts = (source, _ENVIRONMENTS.get(environment, environment), scenario, "-".join(words))
    return "/".join(parts) if source in _PUBLISHING and all(parts) else ""


def foreign_spec(
    source: str,
    environment: str,
    scenario: str,
    sizes: Sizes,
    layout: str | None = None,
    standardised: bool = False,
) -> TeamSpec:
    """The world that a source was recorded in.

    Args:
        source: who recorded, such as `og_marl`, `omiga`; any text.
        environment: such as `smac_v1`, `mamujoco`; any text.
        scenario: the scenario's name in the source; known ones become ours, with their version.
        sizes: of the arrays.
        layout: what the user says the layout is.
        standardised: whether observations are standardised per vector, as those of OMIGA's robots.

    Raises:
        MismatchError: `layout` is one of the simulator's, and the data do not have its sizes.
    """
    source = _SOURCES.get(source, source)
    environment = _ENVIRONMENTS.get(environment, environment)
    known = scenarios.SCENARIOS.get(scenario)
    if layout is not None:
        check_layout(scenario, layout, sizes, f"--layout {layout}")
        if observation_layout(layout) == OMIGA and not standardised:
            raise MismatchError(
                f"--layout {layout}: observations of this layout are standardised per vector, those of the data are not; "
                "leave --layout out"
            )
    chosen = layout
    if chosen is None and known is not None:
        chosen = _SAME.get((source, environment))
        if known.family == "mamujoco" and source == "omiga" and standardised:
            chosen = OMIGA_MAMUJOCO
        if chosen is not None and not _agrees(known, chosen, sizes):
            chosen = None
    return TeamSpec(
        scenario=scenario if known is None else known.id,
        layout=chosen or f"{source}-{environment}-data",
        engine=f"recorded/{source}",
        **sizes._asdict(),
        episode_limit=1 if known is None else known.episode_limit,
        has_win=False,
    )


def check_layout(scenario: str, layout: str, sizes: Sizes, claim: str) -> None:
    """Refuse to call data by a layout of the simulator whose sizes they do not have.

    Layouts that no simulator here has, and scenarios that are not known, are not checked.

    Args:
        scenario: with or without version.
        layout: the layout's name.
        sizes: of the data.
        claim: who says so, for the message.

    Raises:
        MismatchError: sizes differ, or the simulator has no such layout of this scenario.
    """
    known = known_scenario(scenario)
    stem = layout.split("+")[0]
    ours = {name.split("+")[0] for row in scenarios.SCENARIOS.values() for name in row.layouts}
    if known is None or stem not in ours:
        return
    try:
        expected = _sizes(known, layout)
    except MissingExtraError:
        return  # without the simulator its sizes are not known
    except HarnessError as error:
        raise MismatchError(f"{claim}: {error}") from error
    if not _same(expected, layout, sizes):
        raise MismatchError(
            f"{claim}: {known.id} in layout {layout} has {expected}, but the data have {sizes}; "
            "they are of another layout or scenario"
        )


def _agrees(known: Scenario, layout: str, sizes: Sizes) -> bool:
    """Whether data have a layout's sizes; a simulator that is not installed cannot contradict."""
    try:
        return _same(_sizes(known, layout), layout, sizes)
    except MissingExtraError:
        return True
    except HarnessError:  # no such layout of this scenario
        return False


def _sizes(known: Scenario, layout: str) -> Sizes:
    with scenarios.make_vector(known.name, 1, layout=observation_layout(layout)) as env:
        spec = env.spec
    return Sizes(*(getattr(spec, key) for key in Sizes._fields))


def _same(expected: Sizes, layout: str, sizes: Sizes) -> bool:
    if layout.endswith(STANDARDISED_STATE):  # whose states are not the simulator's
        expected = expected._replace(state_size=sizes.state_size)
    return expected == sizes

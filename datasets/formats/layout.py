"""Which scenario and observation layout the data of others are.

A layout of our simulators is named only where the facts about the source say that its observations and states are
exactly that, and the sizes agree. Everything else has a name of its own, so that it is never mixed up with one.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.errors import HarnessError
from env_adapters.layouts import STANDARDISED_STATE

OMIGA_MAMUJOCO = f"mamujoco-omiga-v2{STANDARDISED_STATE}"
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


def catalog_name(source: str, environment: str, scenario: str, quality: str) -> str:
    """`SOURCE/ENVIRONMENT/SCENARIO/QUALITY` as the catalog lists datasets; empty for sources that publish nothing.

    Qualities are written `Good`, `Medium-Replay`, however the source spells them.
    """
    source = _SOURCES.get(source, source).replace("_", "-")
    words = [word.capitalize() for word in re.split("[-_]", quality) if word]
    parts = (source, _ENVIRONMENTS.get(environment, environment), scenario, "-".join(words))
    return "/".join(parts) if source in _PUBLISHING and all(parts) else ""


def foreign_spec(
    source: str, environment: str, scenario: str, sizes: Sizes, layout: str | None = None
) -> TeamSpec:
    """The world that a source was recorded in.

    Args:
        source: who recorded, such as `og_marl`, `omiga`; any text.
        environment: such as `smac_v1`, `mamujoco`; any text.
        scenario: the scenario's name in the source; known ones become ours, with their version.
        sizes: of the arrays.
        layout: what the user says the layout is.
    """
    source = _SOURCES.get(source, source)
    environment = _ENVIRONMENTS.get(environment, environment)
    known = scenarios.SCENARIOS.get(scenario)
    chosen = layout
    if chosen is None and known is not None and (source, environment) in _SAME:
        chosen = _if_sizes_agree(scenario, _SAME[source, environment], sizes)
    if chosen is None and known is not None and known.family == "mamujoco" and source == "omiga":
        chosen = OMIGA_MAMUJOCO
    return TeamSpec(
        scenario=scenario if known is None else known.id,
        layout=chosen or f"{source}-{environment}-data",
        engine=f"recorded/{source}",
        **sizes._asdict(),
        episode_limit=1 if known is None else known.episode_limit,
        has_win=False,
    )


def _if_sizes_agree(scenario: str, layout: str, sizes: Sizes) -> str | None:
    try:
        with scenarios.make_vector(scenario, 1, layout=layout) as env:
            ours = env.spec
    except HarnessError:  # no such layout of this scenario, or the simulator is not installed
        return None
    return layout if Sizes(*(getattr(ours, key) for key in Sizes._fields)) == sizes else None

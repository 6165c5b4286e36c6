"""Names of layouts: which part of one says what agents are shown, and which part only what a dataset's states are."""

from __future__ import annotations

from typing import Final

STANDARDISED_STATE: Final = "+standardised_state"
"""Ends the layout of a dataset whose observations are a simulator's, but whose states are not: they are agent 0's
observation. Other words after a `+` are options that change observations, and stay part of the name."""


def observation_layout(layout: str) -> str:
    """The layout that agents see, and therefore the one that they can act in."""
    return layout.removesuffix(STANDARDISED_STATE)

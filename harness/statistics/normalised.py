"""Scores relative to two reference policies, which travel with the result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError


@dataclass(frozen=True)
class References:
    """Returns that count as 0 and as 100.

    Raises:
        InvalidValueError: the expert's return is not above the random one, a return is not finite, or the
            origin is not said.
    """

    random: float
    """Mean return of a random policy."""
    expert: float
    """Mean return of an expert policy."""
    source: str
    """Where both come from: a paper and its table, or the runs they were measured in."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.random) and math.isfinite(self.expert) and self.random < self.expert):
            said = f"random {self.random:g}, expert {self.expert:g}"
            raise InvalidValueError(
                f"references need finite returns, the expert's above the random one: {said}"
            )
        if not self.source.strip():
            raise InvalidValueError("references need a source: a paper and its table, or the runs measured")


def normalised(returns: Any, references: References) -> DoubleArray:
    """100 (return - random) / (expert - random), elementwise; the references' 0 and 100 are no bounds.

    J. Fu et al., "D4RL: datasets for deep data-driven reinforcement learning" (2020), section 5.

    Raises:
        InvalidValueError: a return is not finite.
    """
    values = np.asarray(returns, dtype=np.float64)
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0].tolist()
        raise InvalidValueError(f"return {place} is not finite")
    return np.asarray(100.0 * (values - references.random) / (references.expert - references.random))

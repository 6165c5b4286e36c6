"""Observations made uniform on [-1, 1], feature by feature, by the data's cumulative distribution.

MADiff and DoF diffuse observations so transformed (their CDF normaliser), with one distribution for all agents. Here
it is a table of at most Q points per feature, kept beside the weights; between points it is linear, outside constant.
A feature that never changes becomes 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

from agents.api import Params
from env_adapters.api import DoubleArray, FloatArray

_MOST_ROWS: Final = 200_000
"""Rows from which the table is made; more are thinned out evenly."""
NAMES: Final = ("cdf.values", "cdf.levels")
"""What the table is called among an agent's parameters: [Q, F] each."""


def cdf_init(features: int, knots: int) -> Params:
    """The table that only clips to [-1, 1]."""
    line = torch.linspace(-1.0, 1.0, knots)[:, None].repeat(1, features)
    return {"cdf.values": line, "cdf.levels": line.clone()}


def cdf_fit(rows: Tensor, knots: int) -> Params:
    """The table of data rows [M, F], as tensors beside them."""
    thinned = rows[:: max(1, -(-len(rows) // _MOST_ROWS))].cpu().numpy()
    table = np.stack([_column(column, knots) for column in thinned.T], axis=-1)
    values, levels = torch.from_numpy(table).to(rows)
    return {"cdf.values": values, "cdf.levels": levels}


def _column(column: FloatArray, knots: int) -> DoubleArray:
    """Values and levels [2, Q] of one feature; the last point is repeated where there are fewer values."""
    values, counts = np.unique(column, return_counts=True)
    if len(values) == 1:
        return np.stack([np.full(knots, values[0], dtype=np.float64), np.zeros(knots)])
    shares = counts.cumsum() / len(column)
    chosen = np.arange(len(values))
    if len(values) > knots:
        chosen = np.searchsorted(shares, np.linspace(shares[0], 1.0, knots)).clip(max=len(values) - 1)
        chosen[0], chosen[-1] = 0, len(values) - 1
    chosen = np.pad(chosen, (0, knots - len(chosen)), mode="edge")
    return np.stack([values[chosen].astype(np.float64), 2.0 * shares[chosen] - 1.0])


def uniformed(params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Numbers [..., F] as levels in [-1, 1]; no gradient reaches the table."""
    values, levels = (params[name][None].detach() for name in NAMES)
    low, width = values[:, :-1], values.diff(dim=1)
    share = (x[..., None, :] - low) / torch.where(width > 0.0, width, torch.ones_like(width))
    return levels[:, 0] + (share.clamp(0.0, 1.0) * levels.diff(dim=1)).sum(dim=-2)

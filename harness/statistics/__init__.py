"""Numbers with their uncertainty. Every function is pure; randomness comes in as a Generator.

One rate or mean: `intervals`. Runs x tasks: `aggregates`, `profiles`. Two sides: `paired`,
`unpaired`. Episodes within training seeds: `two_level`. Stopping early: `sequential`. A sample that tells
nothing about its spread has no interval: None, never a width of zero.
"""

from harness.statistics.intervals import (
    Interval,
    MeanStd,
    bootstrap_mean_interval,
    bootstrap_t_interval,
    clopper_pearson_interval,
    mean_interval,
    mean_std,
    wilson_interval,
)

__all__ = [
    "Interval",
    "MeanStd",
    "bootstrap_mean_interval",
    "bootstrap_t_interval",
    "clopper_pearson_interval",
    "mean_interval",
    "mean_std",
    "wilson_interval",
]

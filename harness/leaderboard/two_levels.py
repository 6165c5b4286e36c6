"""The interval of a mean over training seeds: episodes within teams, teams within a method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev


def wider_interval(means: Sequence[float], error: float) -> tuple[float, float] | None:
    """95 % interval of the mean over K teams, from both levels of uncertainty.

    The spread of the teams' means holds what training seeds and episodes add, so Student's t over K means covers
    both (one-way random effects; G. Snedecor and W. Cochran, "Statistical Methods" (1989), section 13.2). A few
    means can agree by chance; the interval is therefore never narrower than the one over episodes alone.

    Args:
        means: K means, at least 1.
        error: standard error of their mean over the episodes of these teams.

    Returns:
        Lower and upper end; None where nothing is known about the spread, or there is none.
    """
    from harness.statistics.special import student_t_quantile

    centre = fmean(means)
    half = NormalDist().inv_cdf(0.975) * error
    if len(means) > 1:
        half = max(half, student_t_quantile(0.975, len(means) - 1) * stdev(means) / math.sqrt(len(means)))
    return (centre - half, centre + half) if half > 0 else None

"""A description as a picture: returns, lengths, use of the actions, and shares such as coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.describe import Description
from datasets.pictures import new_figure, write_png
from datasets.published import Compared
from env_adapters.api import DoubleArray, IntArray
from env_adapters.errors import InvalidValueError

_OURS, _THEIRS, _GREY = "#3b6ea5", "#c8553d", "#555555"
_MAX_BARS = 40
_SIZE_INCHES = (11.0, 7.2)
_DOTS_PER_INCH = 130


def check_picture(path: Path) -> None:
    """Raise InvalidValueError unless the name ends with `.png`."""
    if path.suffix.lower() != ".png":
        raise InvalidValueError(f"{path} is no name of a picture; end it with .png")


def write_plot(found: Description, compared: Sequence[Compared], path: Path) -> None:
    """Write the picture.

    Args:
        found: what to show.
        compared: published numbers, which are marked.
        path: a `.png`; missing folders are created.

    Raises:
        InvalidValueError: the name does not end with `.png`.
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    check_picture(path)
    figure = new_figure("a picture of a dataset", _SIZE_INCHES, _DOTS_PER_INCH)
    published = {row.name: row.published for row in compared}
    upper, lower = figure.subfigures(2, 1)
    (returns, lengths), (actions, shares) = upper.subplots(1, 2), lower.subplots(1, 2)
    card = found.card
    figure.suptitle(
        f"{card.source or card.scenario}   {card.n_transitions:,} transitions in {card.n_episodes:,} episodes, "
        f"layout {card.layout}",
        fontsize=12,
    )
    spread = published.get("return std")
    _histogram(returns, found.episode_returns, "episode return", published.get("return mean"), spread)
    _histogram(
        lengths, found.episode_lengths, "episode length (steps)", published.get("mean length (steps)"), None
    )
    _actions(actions, found)
    _shares(shares, found, published.get("state-action coverage"))
    write_png(figure, path)


def _histogram(
    axes: Any, values: DoubleArray | IntArray, name: str, published: float | None, spread: float | None
) -> None:
    """Counts of episodes, with the means of both and the published spread, as far as they are known."""
    mean, std = float(np.mean(values)), float(np.std(values))
    axes.hist(values, bins=_edges(values), color=_OURS, alpha=0.75)
    axes.axvline(mean, color=_OURS, linewidth=2, label=f"here {mean:.2f} ± {std:.2f}")
    if published is not None:
        text = f"published {published:.2f}" + ("" if spread is None else f" ± {spread:.2f}")
        axes.axvline(published, color=_THEIRS, linewidth=2, linestyle="--", label=text)
        if spread is not None:
            axes.axvspan(published - spread, published + spread, color=_THEIRS, alpha=0.12)
    axes.set_xlabel(name)
    axes.set_ylabel("episodes")
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    _tidy(axes)


def _edges(values: DoubleArray | IntArray) -> DoubleArray:
    """Whole numbers get whole bins, so that no bar is twice as wide as its neighbour."""
    low, high = float(np.min(values)), float(np.max(values))
    if high - low < 1e-6 * max(1.0, abs(high)):  # all the same, but for rounding
        return np.array([low - 0.5, high + 0.5])
    if values.dtype.kind in "iu":
        width = max(1, int(np.ceil((high - low + 1) / _MAX_BARS)))
        return np.arange(low - 0.5, high + 0.5 + width, width)
    n_bars = min(_MAX_BARS, len(np.unique(values)))
    return np.histogram_bin_edges(values, bins=n_bars).astype(np.float64)


def _actions(axes: Any, found: Description) -> None:
    usage = found.action_usage
    continuous = found.card.action_kind == "continuous"
    axes.bar(np.arange(len(usage)), usage, color=_OURS, alpha=0.75)
    axes.set_xlabel("action component" if continuous else "action")
    axes.set_ylabel("mean magnitude" if continuous else "share of all actions")
    axes.locator_params(axis="x", integer=True)
    _tidy(axes)


def _shares(axes: Any, found: Description, published: float | None) -> None:
    """Shares as bars from the top, the published coverage as a mark on its bar."""
    card = found.card
    shares = {
        "state-action coverage": found.state_coverage,
        "observation-action coverage": found.observation_coverage,
        "distinct transitions": 1 - found.n_duplicate_transitions / card.n_transitions,
        "distinct episodes": 1 - found.n_duplicates / card.n_episodes,
        "legal actions": found.legal_share,
    }
    if found.win_rate is not None:
        shares["episodes won"] = found.win_rate
    places = np.arange(len(shares))[::-1]
    axes.barh(places, list(shares.values()), color=_OURS, alpha=0.75, height=0.6)
    for place, share in zip(places, shares.values(), strict=True):
        axes.text(1.02, place, f"{share:.1%}", va="center", fontsize=9, color=_GREY)
    if published is not None:
        axes.plot([published] * 2, [places[0] - 0.42, places[0] + 0.42], color=_THEIRS, linewidth=2.5)
        axes.text(
            published, places[0] + 0.46, f"published {published:.2f}", color=_THEIRS, fontsize=9, ha="center"
        )
    axes.set_yticks(places, list(shares), fontsize=9)
    axes.set_xlim(0, 1.14)
    axes.set_ylim(-0.6, len(shares) - 0.2)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    _tidy(axes)


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_GREY)

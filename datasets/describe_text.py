"""A description as plain text, and as JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from datasets.card import DatasetCard
from datasets.catalog import RECIPE
from datasets.describe import Description, Histogram
from datasets.published import Compared

_MAX_FEATURES = 12
"""Constant features that are listed."""


def format_description(description: Description, compared: Sequence[Compared] = ()) -> str:
    """The description as plain text of several lines, at most about 100 columns wide."""
    sections = [
        _format_card(description.card),
        _format_returns(description),
        *([_format_published(compared, description.card.source)] if compared else []),
        _format_histogram("episode returns", description.return_histogram),
        _format_histogram("episode lengths (steps)", description.length_histogram),
        _format_actions(description),
        _format_checks(description),
    ]
    return "\n\n".join("\n".join(line.rstrip() for line in lines) for lines in sections)


def _format_card(card: DatasetCard) -> list[str]:
    lines = [
        f"{card.scenario}  layout {card.layout}  engine {card.engine}",
        f"{card.n_transitions} transitions in {card.n_episodes} episodes, seed {card.seed}",
        f"{card.n_agents} agents, observation {card.observation_size}, state {card.state_size}, "
        f"{card.action_kind} actions {card.action_size}"
        + ("" if card.has_available_actions else ", no masks"),
    ]
    for behaviour, share in zip(card.behaviours, card.shares, strict=True):
        lines.append(
            f"behaviour {behaviour.name}: {share:.1%} of episodes, {behaviour.act_mode}, "
            f"weights {behaviour.weights_hash}"
        )
    lines += [f"source {card.source}"] if card.source else []
    lines += [f"note: {note}" for note in card.notes]
    return [*lines, f"sha256 {card.sha256}, written by version {card.created_with}"]


def _format_returns(description: Description) -> list[str]:
    returns = description.returns
    lines = [
        f"return {returns.mean:.3f} ± {returns.std:.3f} (std)",
        f"  min {returns.min:.3f}  quartiles {returns.lower_quartile:.3f} {returns.median:.3f} "
        f"{returns.upper_quartile:.3f}  max {returns.max:.3f}",
    ]
    if description.win_rate is not None:
        lines.append(f"win rate {description.win_rate:.1%}")
    return lines


def _format_histogram(title: str, histogram: Histogram) -> list[str]:
    lines = [title]
    largest = int(histogram.counts.max())
    for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        lines.append(f"  {low:9.2f} to {high:9.2f} {count:8d} {_bar(count / largest)}")
    return lines


def _bar(share: float) -> str:
    """Up to 40 characters; anything above zero shows at least one."""
    return "#" * (max(1, round(40 * share)) if share > 0 else 0)


def _format_actions(description: Description) -> list[str]:
    continuous = description.card.action_kind == "continuous"
    title = "mean magnitude of each action component" if continuous else "share of each action"
    usage = description.action_usage
    return [
        title,
        *(f"  {index:4d} {share:7.4f} {_bar(share)}" for index, share in enumerate(usage.tolist())),
    ]


def _format_checks(description: Description) -> list[str]:
    lines = [f"legal actions {description.legal_share:.4%} ({description.n_illegal} illegal)"]
    for illegal in description.illegal:
        lines.append(
            f"  transition {illegal.transition} (episode {illegal.episode}), agent {illegal.agent}: action {illegal.action}"
        )
    lines.append(f"terminal flags: {description.n_terminal_problems} problems")
    for found in description.terminal_problems:
        lines.append(f"  transition {found.transition} (episode {found.episode}): {found.problem}")
    lines.append(f"duplicate episodes: {description.n_duplicates}")
    for duplicate in description.duplicates:
        lines.append(f"  episode {duplicate.episode} repeats episode {duplicate.original}")
    n_transitions = description.card.n_transitions
    lines += [
        f"duplicate transitions: {description.n_duplicate_transitions} "
        f"({description.n_duplicate_transitions / n_transitions:.2%})",
        f"numbers that are not finite: {description.n_not_finite}",
        f"constant observation features: {_listed(description.constant_features)}",
        f"coverage (distinct pairs / transitions): state-action {description.state_coverage:.4f}, "
        f"observation-action {description.observation_coverage:.4f}",
    ]
    return lines


def _listed(features: Sequence[int]) -> str:
    """How many there are, and which come first."""
    if not features:
        return "none"
    shown = ", ".join(str(feature) for feature in features[:_MAX_FEATURES])
    return f"{len(features)} ({shown}{', ...' if len(features) > _MAX_FEATURES else ''})"


def _format_published(compared: Sequence[Compared], source: str) -> list[str]:
    lines = [f"  {'':22}{'here':>14}{'published':>14}{'difference':>14}"]
    for row in compared:
        cells = [
            f"{value:{sign}.{row.digits}f}"
            for value, sign in ((row.here, ""), (row.published, ""), (row.difference, "+"))
        ]
        lines.append(f"  {row.name:22}" + "".join(f"{cell:>14}" for cell in cells))
    is_ours = source.startswith(RECIPE)
    title = "beside the public dataset that it is made after" if is_ours else "beside what its makers publish"
    return [title, *lines]


def description_values(description: Description, compared: Sequence[Compared] = ()) -> dict[str, Any]:
    """Everything as JSON values; returns and lengths of single episodes are left out, their histograms are in."""
    values: dict[str, Any] = {
        "card": dataclasses.asdict(description.card),
        "is_sound": description.is_sound,
        "returns": dataclasses.asdict(description.returns),
        "return_histogram": _bins(description.return_histogram),
        "length_histogram": _bins(description.length_histogram),
        "win_rate": description.win_rate,
        "action_usage": description.action_usage.tolist(),
        "legal_share": description.legal_share,
    }
    for name in (
        "n_actions",
        "n_illegal",
        "n_terminal_problems",
        "n_duplicates",
        "n_duplicate_transitions",
        "n_not_finite",
        "state_coverage",
        "observation_coverage",
    ):
        values[name] = getattr(description, name)
    for name in ("illegal", "terminal_problems", "duplicates"):
        values[name] = [found._asdict() for found in getattr(description, name)]
    values["constant_features"] = list(description.constant_features)
    values["published"] = {
        row.name: {"here": row.here, "published": row.published, "difference": row.difference}
        for row in compared
    }
    return values


def _bins(histogram: Histogram) -> dict[str, list[float]]:
    return {"edges": histogram.edges.tolist(), "counts": histogram.counts.tolist()}

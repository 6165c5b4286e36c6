"""Reads OG-MARL's old TFRecord files: windows of 20 steps, every 10 steps of an episode.

A window goes on in the next one, which begins with the last 10 steps of it; so 10 steps of each window are taken, and
all of an episode's last one. Steps of padding are left out. A discount of 0 marks the terminal transition; a step after
it holds the final observation. Where an episode has no such discount it was truncated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.formats import layout, source
from datasets.formats.findings import Findings
from datasets.formats.source import Part, Reading, Source
from datasets.formats.streams import Cut, Stream
from datasets.formats.tfrecord_store import windows
from datasets.schema import Array
from env_adapters.rollout import Episode

PERIOD = 10
"""Steps from one window to the next."""
_KEYS = {
    "observations": "observations",
    "actions": "actions",
    "rewards": "rewards",
    "discounts": "discounts",
    "available_actions": "legal_actions",
}
"""Our names -> ends of the features' names, which begin with `agent_I_`."""
_STATE, _PADDING = "env_state", "zero_padding_mask"
_FEWEST = 10
"""Windows before it is judged whether they are in order."""
Window = dict[str, Array]


def open_tfrecord(path: Path, reading: Reading) -> Source:
    """Open a folder such as `3m/Good` with `*.tfrecord` files, each of which becomes a part.

    Raises:
        CorruptFileError: damaged, features are missing, or shapes do not fit together.
    """
    files = sorted(path.glob("*.tfrecord"), key=lambda file: (len(file.name), file.name))
    first = next(windows(files[0]), None)
    if first is None:
        raise source.corrupt(files[0], "records", "are missing")
    window = _joined(files[0], 0, first)
    sizes = _sizes(files[0], window)
    above = path.resolve()
    scenario = reading.map or above.parent.name
    spec = layout.foreign_spec("og_marl", "tfrecord", scenario, sizes, reading.layout)
    findings = Findings(path, "agent_*_discounts", scenario, reading.terminals)

    def finish() -> Iterator[str]:
        findings.check_ends()
        yield from findings.notes()

    parts = tuple(
        Part(f"{above.name}/{file.stem}", lambda file=file: _episodes(file, window, sizes, findings, reading))  # type: ignore[misc]
        for file in files
    )
    notes = ("episodes were put together from overlapping windows",)
    return Source("og-marl-tfrecord", spec, parts, notes, finish=finish)


def _joined(path: Path, number: int, features: dict[str, Array]) -> Window:
    """Features of all agents beside each other, [T, N, ...], by our names; and how many steps are real."""
    agents = sorted(
        int(found[1])
        for found in (re.fullmatch(r"agent_(\d{1,3})_observations", key) for key in features)
        if found
    )
    if not agents or agents != list(range(agents[0], agents[0] + len(agents))):
        raise source.corrupt(path, "agent_*_observations", "are missing or not numbered in order", number)
    window = {}
    for name, ending in _KEYS.items():
        keys = [f"agent_{agent}_{ending}" for agent in agents]
        if name == "available_actions" and not any(key in features for key in keys):
            continue
        for key in keys:
            if key not in features:
                raise source.corrupt(path, key, "is missing", number)
            if features[key].shape != features[keys[0]].shape or features[key].ndim not in (1, 2):
                raise source.corrupt(path, key, f"has shape {features[key].shape}", number)
        window[name] = np.stack([features[key] for key in keys], axis=1)
    n_steps = len(window["observations"])
    window["states"] = features.get(_STATE, window["observations"].reshape(n_steps, -1))
    window["padding"] = features.get(_PADDING, np.ones(n_steps, np.float32)).reshape(-1)
    for name, values in window.items():
        if len(values) != n_steps or n_steps < PERIOD or (name == "observations" and values.ndim != 3):
            raise source.corrupt(
                path, name, f"has shape {values.shape} in a window of {n_steps} steps", number
            )
    return window


def _sizes(path: Path, window: Window) -> layout.Sizes:
    _, n_agents, observation_size = window["observations"].shape
    actions, masks = window["actions"], window.get("available_actions")
    discrete = actions.dtype.kind in "iu" and actions.shape[2:] in ((), (1,))
    if discrete and (masks is None or masks.ndim != 3):
        raise source.corrupt(
            path, "agent_*_legal_actions", "are missing, which say how many actions there are", 0
        )
    if not discrete and actions.ndim != 3:
        raise source.corrupt(
            path, "agent_*_actions", f"has type {actions.dtype} and shape {actions.shape}", 0
        )
    size = masks.shape[2] if discrete and masks is not None else actions.shape[2]
    state_size = math.prod(window["states"].shape[1:])
    return layout.Sizes(
        n_agents, observation_size, state_size, "discrete" if discrete else "continuous", size
    )


def _episodes(
    path: Path, model: Window, sizes: layout.Sizes, findings: Findings, reading: Reading
) -> Iterator[Episode]:
    """Whole episodes; rows in messages count the steps of the file without the overlaps."""
    row = 0
    for steps in _chains(path, model):
        cut = _cut(path, row, steps, findings)
        if cut.n_transitions:
            yield from _stream(path, row, steps, sizes, findings, reading).episodes([cut])
        row += len(steps["rewards"])


def _chains(path: Path, model: Window) -> Iterator[Window]:
    """The real steps of one episode after the other."""
    pieces: list[Window] = []
    last: Window | None = None
    n_open = 0
    for number, features in enumerate(windows(path)):
        window = _joined(path, number, features)
        _check_like(path, number, window, model)
        if last is not None and _goes_on(last, window):
            pieces.append({key: values[:PERIOD] for key, values in last.items()})
        elif last is not None:
            n_open += not _is_over(last)
            yield _whole([*pieces, last])
            pieces = []
        last = window
        if number >= _FEWEST and n_open > number // 2:
            raise source.corrupt(
                path, "records", "does not go on with the window before; episodes cannot be rebuilt", number
            )
    if last is not None:
        yield _whole([*pieces, last])


def _check_like(path: Path, number: int, window: Window, model: Window) -> None:
    if window.keys() != model.keys():
        missing = sorted(window.keys() ^ model.keys())
        raise source.corrupt(path, missing[0], "is not in all windows", number)
    for key, values in window.items():
        if values.shape != model[key].shape or values.dtype != model[key].dtype:
            raise source.corrupt(
                path, key, f"has {values.dtype} of shape {values.shape}, expected {model[key].shape}", number
            )
    padding = window["padding"]
    n_real = int((padding == 1).sum())
    if not n_real or not np.array_equal(padding, np.arange(len(padding)) < n_real):
        raise source.corrupt(path, _PADDING, "is not ones followed by zeros", number)


def _goes_on(window: Window, following: Window) -> bool:
    """Whether a window begins with the last steps of the one before."""
    overlap = len(window["padding"]) - PERIOD
    if overlap <= 0 or not window["padding"][PERIOD]:
        return False
    return all(
        np.array_equal(values[PERIOD:], following[key][:overlap], equal_nan=values.dtype.kind == "f")
        for key, values in window.items()
    )


def _is_over(window: Window) -> bool:
    """Whether the episode ends in this window: padding begins, or a discount is 0."""
    return not window["padding"].all() or bool((window["discounts"] == 0).all(axis=1).any())


def _whole(pieces: list[Window]) -> Window:
    joined = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
    n_real = int((joined["padding"] == 1).sum())
    return {key: values[:n_real] for key, values in joined.items()}


def _cut(path: Path, row: int, steps: Window, findings: Findings) -> Cut:
    length = len(steps["rewards"])
    source.check_rows(path, "agent_*_discounts", row, ~np.isfinite(steps["discounts"]), "is not finite")
    ends = np.flatnonzero((steps["discounts"].reshape(length, -1) == 0).all(axis=1))
    if not len(ends):
        return findings.cut_path(length, False, row, place=f"row {row} of {path.name}")
    n_transitions = int(ends[0]) + 1
    if length - n_transitions > 1:
        raise source.corrupt(
            path, "agent_*_discounts", "is 0, but the episode goes on", row + n_transitions - 1
        )
    return findings.cut_path(
        n_transitions, True, row, length > n_transitions, place=f"row {row} of {path.name}"
    )


def _stream(
    path: Path, first: int, steps: Window, sizes: layout.Sizes, findings: Findings, reading: Reading
) -> Stream:
    discrete = sizes.action_kind == "discrete"
    keys = {name: f"agent_*_{ending}" for name, ending in _KEYS.items() if name in steps}
    keys = {"states": _STATE} | {name: key for name, key in keys.items() if name != "discounts"}
    if not discrete:
        keys.pop("available_actions", None)

    def read(name: str, start: int, stop: int) -> Array:
        rows = steps[name][max(0, start - first) : max(1, stop - first)]
        if name == "states":
            return rows.reshape(len(rows), -1)
        return rows.reshape(len(rows), sizes.n_agents) if name == "actions" and discrete else rows

    n_actions = sizes.action_size if discrete else None
    return Stream(path, keys, read, n_actions, reading.keep_illegal, findings)

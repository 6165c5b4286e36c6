"""Reads folders of NumPy arrays: plain `.npy` files, memory-mapped, never unpickled. Here: MADiff and DoF.

Such a folder holds one stream of rows, cut by `path_lengths.npy`. An episode whose last discount is 0 terminated;
otherwise it was truncated. MADiff's observations begin with the one-hot index of the agent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.formats import layout, source
from datasets.formats.findings import Findings
from datasets.formats.source import Part, Reading, Source
from datasets.formats.streams import Cut, Stream
from datasets.schema import Array
from env_adapters.errors import CorruptFileError

_REQUIRED = {"observations": "obs", "actions": "actions", "rewards": "rewards"}
_OPTIONAL = {"states": "states", "available_actions": "legals"}


def load(folder: Path, name: str) -> Array:
    """Memory-map `name.npy`, rows first.

    Raises:
        CorruptFileError: missing, truncated, of objects, or of an impossible size.
    """
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise source.corrupt(folder, f"{name}.npy", "is missing") from error
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise CorruptFileError(f"{path} is not a readable NumPy array: {reason}; fetch it anew") from error
    if not isinstance(array, np.ndarray):
        raise CorruptFileError(f"{path} is an archive, expected one array; fetch it anew")
    source.check_numeric(folder, f"{name}.npy", array.dtype)
    source.check_size(folder, f"{name}.npy", array.shape, array.dtype.itemsize)
    return array


def open_madiff(path: Path, reading: Reading) -> Source:
    """Open a folder of MADiff or DoF; its name, or its parent's, says scenario and quality.

    Raises:
        CorruptFileError: files are missing or damaged, or shapes or lengths do not fit together.
    """
    keys = _REQUIRED | {name: key for name, key in _OPTIONAL.items() if (path / f"{key}.npy").is_file()}
    arrays = {name: load(path, key) for name, key in keys.items()}
    sizes = _sizes(path, keys, arrays)
    if sizes.action_kind == "continuous":
        keys.pop("available_actions", None)
    scenario = reading.map or path.parent.name
    spec = layout.foreign_spec("madiff", "folder", scenario, sizes, reading.layout)
    findings = Findings(path, "discounts.npy", scenario, reading.terminals)
    cuts = _cuts(path, load(path, "path_lengths"), load(path, "discounts"), len(arrays["rewards"]), findings)

    def read(name: str, start: int, stop: int) -> Array:
        rows = arrays["observations" if name == "states" and name not in arrays else name][start:stop]
        if name == "states":
            return rows.reshape(len(rows), -1)
        return rows.reshape(len(rows), sizes.n_agents) if name == "actions" and n_actions else rows

    n_actions = sizes.action_size if sizes.action_kind == "discrete" else None
    keys.setdefault("states", "obs")
    stream = Stream(
        path,
        {name: f"{key}.npy" for name, key in keys.items()},
        read,
        n_actions,
        reading.keep_illegal,
        findings,
    )
    parts = (Part(path.name, lambda: stream.episodes(cuts)),)
    return Source("madiff", spec, parts, finish=findings.notes)


def _sizes(path: Path, keys: dict[str, str], arrays: dict[str, Array]) -> layout.Sizes:
    shape, actions = arrays["observations"].shape, arrays["actions"].shape
    if len(shape) != 3:
        raise source.corrupt(path, "obs.npy", f"has shape {shape}, expected (rows, agents, size)")
    for name, array in arrays.items():
        if len(array) != shape[0]:
            raise source.corrupt(path, f"{keys[name]}.npy", f"has {len(array)} rows, obs.npy has {shape[0]}")
        if name not in ("states", "rewards") and array.shape[1:2] != shape[1:2]:
            raise source.corrupt(path, f"{keys[name]}.npy", f"has shape {array.shape} for {shape[1]} agents")
    whole = arrays["actions"].dtype.kind in "iu"
    discrete = len(actions) == 2 or (whole and actions[2:] == (1,))
    if not discrete and len(actions) != 3:
        raise source.corrupt(path, "actions.npy", f"has shape {actions}")
    masks = arrays.get("available_actions")
    if discrete and masks is not None and masks.ndim != 3:
        raise source.corrupt(path, "legals.npy", f"has shape {masks.shape}, expected (rows, agents, actions)")
    if not discrete:
        size = actions[2]
    elif masks is not None:
        size = masks.shape[2]
    else:
        largest = float(arrays["actions"].max())
        if not 0 <= largest < 10_000:
            raise source.corrupt(path, "actions.npy", f"reaches {largest}")
        size = int(largest) + 1
    state = arrays.get("states", arrays["observations"]).shape
    return layout.Sizes(
        shape[1], shape[2], int(np.prod(state[1:])), "discrete" if discrete else "continuous", max(1, size)
    )


def _cuts(path: Path, lengths: Array, discounts: Array, n_rows: int, findings: Findings) -> list[Cut]:
    """The episodes that keep a transition."""
    wrong = (lengths < 1) | (lengths % 1 != 0)
    source.check_rows(path, "path_lengths.npy", 0, wrong, "is not a length")
    ends = np.cumsum(lengths.reshape(-1).astype(np.int64))
    if ends[-1] != n_rows or len(discounts) != n_rows:
        raise source.corrupt(
            path,
            "path_lengths.npy",
            f"adds up to {ends[-1]}, obs.npy has {n_rows} rows, discounts.npy {len(discounts)}",
        )
    outside = ~((discounts >= 0) & (discounts <= 1))
    source.check_rows(path, "discounts.npy", 0, outside, "is not a number from 0 to 1")
    zero = discounts.reshape(n_rows, -1) == 0
    differs = np.zeros(n_rows, dtype=np.bool_)  # inside a path one agent alone may die
    differs[ends - 1] = (zero != zero[:, :1]).any(axis=1)[ends - 1]
    source.check_rows(path, "discounts.npy", 0, differs, "is 0 for some agents only, at the path's end")
    over = zero.all(axis=1)
    final, inside = over[ends - 1], over.copy()
    inside[ends - 1] = False
    source.check_rows(path, "discounts.npy", 0, inside, "is 0, but the path goes on")
    cuts, first = [], 0
    for end, flagged in zip(ends.tolist(), final.tolist(), strict=True):
        cuts.append(findings.cut_path(end - first, flagged, first, place=end - 1))
        first = end
    findings.check_ends()
    return [cut for cut in cuts if cut.n_transitions]

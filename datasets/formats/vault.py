"""Reads OG-MARL vaults: long streams of rows, cut into episodes by terminals and truncations.

In OG-MARL's own vaults an end is flagged at the last transition and the observation after it is not stored. Vaults
converted from OMIGA's robots keep OMIGA's rows: there the flagged row holds the final observation, so that episodes of
1000 steps have 1001 rows. They are recognised and cut accordingly.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from datasets.formats import layout, source
from datasets.formats.findings import Findings
from datasets.formats.source import Part, Reading, Source
from datasets.formats.streams import Cuts, Stream, cut_after_last_transitions, cut_at_terminal_rows
from datasets.formats.vault_store import MANIFEST, METADATA, VaultArrays
from datasets.schema import Array
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, MismatchError, UnknownNameError
from env_adapters.rollout import Episode

_KEYS = {
    "observations": "observations.",
    "states": "infos.state.",
    "actions": "actions.",
    "rewards": "rewards.",
    "available_actions": "infos.legals.",
}
_ROBOT_LIMIT = 1000
"""Steps after which every robot of the public datasets is stopped."""
_BLOCK = 100_000
"""Rows of a small array that are looked at together."""


def find_vault(folder: Path) -> Path:
    """The folder with the metadata: this one, or its only subfolder that is a vault.

    Raises:
        UnknownNameError: there is none, or there are several to choose from.
    """
    if (folder / METADATA).is_file() and (folder / MANIFEST).is_file():
        return folder
    inside = sorted(path.parent for path in folder.glob(f"*/{METADATA}"))
    if len(inside) == 1 and (inside[0] / MANIFEST).is_file():
        return inside[0]
    for place in (folder, *inside[:1]) if len(inside) < 2 else (folder,):
        for name, other in ((METADATA, MANIFEST), (MANIFEST, METADATA)):
            if (place / other).is_file() and not (place / name).is_file():
                raise source.corrupt(place, name, "is missing; the folder is a vault without it")
    names = ", ".join(path.name for path in inside) or "none"
    raise UnknownNameError(f"{folder} is no vault; name the folder of one quality inside it ({names})")


def open_vault(path: Path, reading: Reading) -> Source:
    """Open a vault, find its episodes and check its shapes. Episodes are read later, in blocks.

    Raises:
        UnknownNameError: not the folder of a vault.
        CorruptFileError: damaged, arrays are missing or do not fit together, or no row is flagged as an end.
        MissingExtraError: tensorstore is not installed.
    """
    folder = find_vault(path)
    arrays = VaultArrays(folder)
    sizes = _sizes(arrays)
    spec = _spec(arrays, sizes, reading)
    ends = [_ends(arrays, stream) for stream in range(arrays.n_streams)]
    at_rows, why = _flags_own_rows(arrays, ends, spec, reading)
    cuts = [
        cut_at_terminal_rows(terminals | truncations, _ROBOT_LIMIT)
        if at_rows
        else cut_after_last_transitions(terminals, truncations)
        for terminals, truncations in ends
    ]
    for stream, found in enumerate(cuts):
        if not found.episodes:
            raise source.corrupt(folder, "terminals.", f"flags no end of an episode in stream {stream}")
    findings = Findings(folder, "terminals.", spec.scenario, reading.terminals)
    for found in cuts:
        findings.stream(found)
    parts = tuple(
        Part(
            folder.name if arrays.n_streams == 1 else f"{folder.name}/{index}",
            partial(_episodes, arrays, sizes, index, found, findings, reading),
        )
        for index, found in enumerate(cuts)
    )
    return Source("vault", spec, parts, why, _catalog_name(arrays, reading), findings.notes)


def _catalog_name(arrays: VaultArrays, reading: Reading) -> str:
    """What the path says, unless the vault was written here, from data of our own."""
    if "scenario" in arrays.metadata:
        return ""
    scenario, environment, recorder = _above(arrays.folder)
    return layout.catalog_name(recorder, environment, reading.map or scenario, arrays.folder.name)


def _above(folder: Path) -> tuple[str, str, str]:
    """Scenario, environment and source, which are the names of the folders above."""
    above = [parent.name for parent in folder.resolve().parents][:3] + [""] * 3
    return above[0].removesuffix(".vlt"), above[1], above[2]


def _episodes(
    arrays: VaultArrays, sizes: layout.Sizes, index: int, cuts: Cuts, findings: Findings, reading: Reading
) -> Iterator[Episode]:
    discrete = sizes.action_kind == "discrete"
    absent = set() if discrete else {"available_actions"}  # the masks of some robots mean nothing
    keys = {name: key for name, key in _KEYS.items() if name not in absent and key in arrays}
    keys.setdefault("states", "observations.")

    def read(name: str, start: int, stop: int) -> Array:
        rows = arrays.read(keys[name], index, start, stop)
        if name == "states":
            return _states(rows, sizes)
        return rows.reshape(len(rows), sizes.n_agents) if name == "actions" and discrete else rows

    n_actions = sizes.action_size if discrete else None
    stream = Stream(arrays.folder, keys, read, n_actions, reading.keep_illegal, findings)
    return stream.episodes(cuts.episodes)


def _states(rows: Array, sizes: layout.Sizes) -> Array:
    """[B, S]: robots repeat the state for each agent; other states of the agents are joined."""
    if rows.ndim == 3 and sizes.action_kind == "continuous":
        return np.asarray(rows[:, 0])
    return rows.reshape(len(rows), -1)


def _sizes(arrays: VaultArrays) -> layout.Sizes:
    shape = arrays.row_shape("observations.")
    if len(shape) != 2:
        raise source.corrupt(
            arrays.folder, "observations.", f"has rows of shape {shape}, expected (agents, size)"
        )
    n_agents, actions = shape[0], arrays.row_shape("actions.")
    whole = arrays.dtype("actions.").kind in "iub"
    discrete = actions == (n_agents,) or (whole and actions == (n_agents, 1))
    if not discrete and (len(actions) != 2 or actions[0] != n_agents):
        raise source.corrupt(arrays.folder, "actions.", f"has rows of shape {actions} for {n_agents} agents")
    size = _n_actions(arrays, n_agents) if discrete else actions[1]
    state = arrays.row_shape("infos.state." if "infos.state." in arrays else "observations.")
    per_agent = len(state) == 2 and not discrete
    return layout.Sizes(
        n_agents,
        shape[1],
        state[1] if per_agent else int(np.prod(state)),
        "discrete" if discrete else "continuous",
        size,
    )


def _n_actions(arrays: VaultArrays, n_agents: int) -> int:
    """Number of discrete actions: what the masks say, or else the largest action that occurs."""
    if "infos.legals." in arrays:
        shape = arrays.row_shape("infos.legals.")
        if len(shape) != 2 or shape[0] != n_agents:
            raise source.corrupt(
                arrays.folder, "infos.legals.", f"has rows of shape {shape} for {n_agents} agents"
            )
        return shape[1]
    largest = max(
        float(np.max(arrays.read("actions.", stream, start, min(start + _BLOCK, arrays.n_rows))))
        for stream in range(arrays.n_streams)
        for start in range(0, arrays.n_rows, _BLOCK)
    )
    if not 0 <= largest < 10_000:
        raise source.corrupt(arrays.folder, "actions.", f"reaches {largest}")
    return int(largest) + 1


def _spec(arrays: VaultArrays, sizes: layout.Sizes, reading: Reading) -> TeamSpec:
    """The world, named by the vault itself where we wrote it, else by the folders SOURCE/ENVIRONMENT/NAME.vlt/QUALITY.

    Raises:
        MismatchError: the vault names another scenario than its path, or a layout of the simulator without having its sizes.
    """
    told = {key: arrays.metadata.get(key) for key in ("scenario", "layout", "engine")}
    scenario, environment, recorder = _above(arrays.folder)
    if not all(
        isinstance(text, str) and text.isprintable() and 0 < len(text) < 500 for text in told.values()
    ):
        standardised = source.is_standardised(_first_observations(arrays))
        return layout.foreign_spec(
            recorder, environment, reading.map or scenario, sizes, reading.layout, standardised
        )
    name, chosen = str(told["scenario"]), reading.layout or str(told["layout"])
    known = layout.known_scenario(name)
    if reading.map is not None and reading.map not in (name, known and known.name):
        raise InvalidValueError(f"--map {reading.map}: the vault says that it holds {name}; leave --map out")
    above = layout.known_scenario(scenario)
    if above is not None and above != known:
        raise MismatchError(
            f"{arrays.folder / METADATA} says that the vault holds {name}, but its folder says {scenario}; "
            "rename the folder, or repair the metadata"
        )
    claim = f"--layout {chosen}" if reading.layout else f"{arrays.folder / METADATA}"
    layout.check_layout(name, chosen, sizes, claim)
    limit = 1 if known is None else known.episode_limit
    return TeamSpec(name, chosen, str(told["engine"]), **sizes._asdict(), episode_limit=limit, has_win=False)


def _first_observations(arrays: VaultArrays) -> Array:
    return arrays.read("observations.", 0, 0, min(64, arrays.n_rows))


def _ends(arrays: VaultArrays, stream: int) -> tuple[Array, Array]:
    """Terminals and truncations bool[T]: an episode ends where all agents have ended."""
    columns = []
    for key in ("terminals.", "truncations."):
        if key not in arrays:
            columns.append(np.zeros((arrays.n_rows, 1), dtype=np.bool_))
            continue
        blocks = []
        for start in range(0, arrays.n_rows, _BLOCK):
            rows = arrays.read(key, stream, start, min(start + _BLOCK, arrays.n_rows))
            source.check_rows(arrays.folder, key, start, (rows != 0) & (rows != 1), "is neither 0 nor 1")
            blocks.append(rows.astype(np.bool_).reshape(len(rows), -1))
        columns.append(np.concatenate(blocks))
    ended: Array = np.all(columns[0] | columns[1], axis=1)
    terminated: Array = np.all(columns[0], axis=1)
    return terminated, ended & ~terminated


def _flags_own_rows(
    arrays: VaultArrays, ends: list[tuple[Array, Array]], spec: TeamSpec, reading: Reading
) -> tuple[bool, tuple[str, ...]]:
    """Whether the flagged rows hold final observations (OMIGA's robots), and how that was recognised."""
    if reading.terminals != "auto":
        return reading.terminals == "row", (f"--terminals {reading.terminals} was followed",)
    if arrays.metadata.get("terminals") == "last transition" or spec.action_kind == "discrete":
        return False, ()
    if not source.is_standardised(_first_observations(arrays)):
        return False, ()
    longest = max(
        int(np.diff(np.flatnonzero(terminals | truncations), prepend=-1).max(initial=0))
        for terminals, truncations in ends
    )
    if longest == _ROBOT_LIMIT:  # whole episodes without a row more: somebody corrected the flags before
        return False, ("observations are OMIGA's, but episodes have no row of their own for the end",)
    reason = f"episodes of up to {longest} rows" if longest > _ROBOT_LIMIT else "no episode reaches the limit"
    return True, (
        f"converted from OMIGA (observations standardised per vector, {reason}): flagged rows are read as final "
        "observations, not as transitions (--terminals transition reads them otherwise)",
    )

"""Reads OMIGA's SMAC episodes: folders `MAP/QUALITY` with one pickle per episode, in files of torch.

The pickles are never unpickled. Another process takes the numbers out of them (`pickled_child`), and dies if a file makes
it take too much. An episode's last observation is not stored; one of the map's full length counts as truncated.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from datasets.formats import layout, source
from datasets.formats.findings import Findings
from datasets.formats.pickled_child import ENTRIES, KEYS
from datasets.formats.source import Part, Reading, Source
from datasets.formats.streams import Stream
from datasets.schema import Array
from env_adapters.errors import CorruptFileError
from env_adapters.rollout import Episode

_MAX_ANSWER_BYTES = 1 << 29
"""Of one array; the child refuses larger ones."""
_PATIENCE_S = 180.0
"""After which a child that neither answers nor dies is ended."""


def episode_files(folder: Path) -> list[Path]:
    """The files of a folder, if the first of them begins like a pickle or a file of torch; else none."""
    files = sorted(
        (path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")),
        key=lambda path: (len(path.name), path.name),
    )
    if not files:
        return []
    with files[0].open("rb") as file:
        start = file.read(4)
    is_pickle = len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5
    return files if start == b"PK\x03\x04" or is_pickle else []


def open_omiga_smac(path: Path, reading: Reading) -> Source:
    """Open a folder such as `5m_vs_6m/good`; every file in it is an episode, in the order of their numbers.

    Raises:
        CorruptFileError: a file is damaged, asks for more than data, or does not hold such an episode.
    """
    files = episode_files(path)
    if not files:
        raise source.corrupt(path, "episodes", "are missing")
    with _Child() as child:
        arrays = child.read(files[0])
    _, n_agents, observation_size = arrays["observations"].shape
    sizes = layout.Sizes(
        n_agents,
        observation_size,
        n_agents * arrays["states"].shape[2],
        "discrete",
        arrays["available_actions"].shape[2],
    )
    above = path.resolve()
    scenario = reading.map or above.parent.name
    spec = layout.foreign_spec("omiga", "smac_v1", scenario, sizes, reading.layout)
    findings = Findings(path, ENTRIES["dones"], scenario, reading.terminals)

    def finish() -> Iterator[str]:
        findings.check_ends()
        yield from findings.notes()

    name = layout.catalog_name("omiga", "smac_v1", scenario, above.name)
    parts = (Part(above.name, lambda: _episodes(files, sizes, findings, reading)),)
    return Source("omiga-smac", spec, parts, name=name, finish=finish)


def _episodes(
    files: list[Path], sizes: layout.Sizes, findings: Findings, reading: Reading
) -> Iterator[Episode]:
    with _Child() as child:
        for file in files:
            arrays = child.read(file)
            _check_sizes(file, arrays, sizes)
            length = len(arrays["rewards"])
            over = np.all(arrays["dones"].reshape(length, -1) != 0, axis=1)
            source.check_rows(
                file, ENTRIES["dones"], 0, over[:-1], "is true of all agents, but the episode goes on"
            )
            flagged = bool(over[-1]) and length != findings.limit
            cut = findings.cut_path(length, flagged, place=f"of {file.name}")
            if cut.n_transitions:
                yield from _stream(file, arrays, sizes, reading).episodes([cut])


def _stream(file: Path, arrays: dict[str, Array], sizes: layout.Sizes, reading: Reading) -> Stream:
    def read(name: str, start: int, stop: int) -> Array:
        rows = arrays[name][start:stop]
        if name == "states":
            return rows.reshape(len(rows), -1)
        return rows[..., 0] if name in ("actions", "rewards") else rows

    keys = {key: ENTRIES[key] for key in KEYS if key != "dones"}
    return Stream(file, keys, read, sizes.action_size, reading.keep_illegal)


def _check_sizes(file: Path, arrays: dict[str, Array], sizes: layout.Sizes) -> None:
    expected = {
        "states": sizes.state_size // sizes.n_agents,
        "observations": sizes.observation_size,
        "available_actions": sizes.action_size,
    }
    for key in KEYS:
        shape, size = arrays[key].shape[1:], (sizes.n_agents, expected.get(key, 1))
        if shape != size:
            raise source.corrupt(file, ENTRIES[key], f"has rows of shape {shape}, expected {size}")


class _Child:
    """The process that looks into pickles; started again after a file that ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(self, path: Path) -> dict[str, Array]:
        """The arrays of one episode, [L, N, ...] by the names of `KEYS`.

        Raises:
            CorruptFileError: the child refused the file or died of it.
        """
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        alarm = threading.Timer(_PATIENCE_S, process.kill)
        alarm.start()
        try:
            process.stdin.write(json.dumps(str(path.resolve())).encode() + b"\n")
            process.stdin.flush()
            kind = process.stdout.read(1)
            parts = [_part(process.stdout) for _ in range(len(KEYS) if kind == b"A" else 1)]
            if kind == b"A":
                arrays = [
                    np.lib.format.read_array(io.BytesIO(part), allow_pickle=False, max_header_size=1000)
                    for part in parts
                ]
                return dict(zip(KEYS, arrays, strict=True))
        except (OSError, ValueError, EOFError) as error:
            self._end()
            raise CorruptFileError(
                f"{path} takes too much time or memory for an episode; it is not read, fetch it anew"
            ) from error
        finally:
            alarm.cancel()
        reason = " ".join(parts[0].decode("utf-8", "replace").split())[:300]
        raise CorruptFileError(f"{path} {reason}; nothing in it was run, fetch the dataset anew")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            root = str(Path(__file__).resolve().parents[2])
            inherited = os.environ.get("PYTHONPATH")
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join([root] + ([inherited] if inherited else [])),
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            }
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "datasets.formats.pickled_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                try:
                    pipe.close()
                except OSError:
                    continue  # what was not sent is lost with the process


def _part(pipe: IO[bytes]) -> bytes:
    """One length and as many bytes; EOFError where they end early."""
    size = int.from_bytes(_exactly(pipe, 8), "little")
    if size > _MAX_ANSWER_BYTES:
        raise ValueError("the answer is too long")
    return _exactly(pipe, size)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    content = pipe.read(size)
    if len(content) != size:
        raise EOFError("the process ended")
    return content

"""Writing either gives a whole file or none: full disks, interruptions, episodes that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from recorded import DISCRETE, make_episode, write

from datasets.formats.native import NativeWriter
from datasets.schema import BehaviourRecord
from env_adapters.errors import (
    HarnessError,
    InvalidValueError,
    MismatchError,
    OutputError,
)
from env_adapters.rollout import Episode


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let the system refuse to grow any file beyond a size, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [100, 1000, 4500, 100_000, 1_000_000])
def test_full_disk_keeps_the_old_file(path: Path, episodes: list[Episode], limit: int) -> None:
    before = path.read_bytes()
    rng = np.random.default_rng(3)
    long = [make_episode(rng, 1000) for _ in range(40)]
    with file_size_limit(limit), pytest.raises(OutputError, match=r"cannot write .*data\.h5"):
        write(path, long)
    assert [file.name for file in path.parent.iterdir()] == ["data.h5"]
    assert path.read_bytes() == before
    assert write(path, long).n_transitions == 40_000


def test_unwritable_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        NativeWriter(tmp_path / "file" / "data.h5", DISCRETE, 0)
    (tmp_path / "data.h5").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "data.h5", [make_episode(np.random.default_rng(0), 2)])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.h5", "file"]


def test_nothing_is_left_when_interrupted(tmp_path: Path, episodes: list[Episode]) -> None:
    with pytest.raises(KeyboardInterrupt), NativeWriter(tmp_path / "new" / "data.h5", DISCRETE, 0) as writer:
        writer.append(episodes[0])
        raise KeyboardInterrupt
    assert list((tmp_path / "new").iterdir()) == []


def test_going_on_after_a_failed_append_is_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with NativeWriter(tmp_path / "data.h5", DISCRETE, 0) as writer:
        with file_size_limit(30_000), pytest.raises(OutputError):
            writer.append(make_episode(rng, 2000))
        writer.append(make_episode(rng, 3))
        with pytest.raises(OutputError, match="bytes instead of"):
            writer.finish([BehaviourRecord("random", "none", "sample", 1)])
    assert list(tmp_path.iterdir()) == []


def spoil(attribute: str, row: int, value: float) -> Callable[[Episode], None]:
    def edit(episode: Episode) -> None:
        values = getattr(episode, attribute)
        if attribute == "rewards":
            values[row] = value
        else:
            values[row].flat[0] = value

    return edit


SPOILS: dict[str, tuple[Callable[[Episode], None], type[HarnessError], str]] = {
    "nan": (spoil("observations", 1, np.nan), InvalidValueError, "observations .* row 1"),
    "large reward": (spoil("rewards", 2, 1e39), InvalidValueError, "rewards .* row 2"),
    "large action": (spoil("actions", 0, 5), InvalidValueError, "actions .* from 0 to 4"),
    "negative action": (spoil("actions", 0, -1), InvalidValueError, "actions .* from 0 to 4"),
    "not recorded": (lambda e: e.observations.clear(), MismatchError, "transitions=True"),
    "one moment short": (lambda e: e.states.__delitem__(-1), MismatchError, "states .* shape"),
    "no masks": (lambda e: e.available_actions.clear(), MismatchError, "available_actions .* shape"),
    "empty": (lambda e: e.rewards.clear(), InvalidValueError, "has no step"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_bad_episodes_are_refused_and_leave_no_trace(
    tmp_path: Path, path: Path, episodes: list[Episode], name: str
) -> None:
    edit, kind, message = SPOILS[name]
    bad = make_episode(np.random.default_rng(5), 4)
    edit(bad)
    with NativeWriter(tmp_path / "new.h5", DISCRETE, seed=7) as writer:
        writer.append(episodes[0])
        with pytest.raises(kind, match=message):
            writer.append(bad)
        for episode in episodes[1:]:
            writer.append(episode)
        writer.finish([BehaviourRecord("random", "none", "sample", 4)])
    assert (tmp_path / "new.h5").read_bytes() == path.read_bytes()


def test_masks_that_appear_later_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with NativeWriter(tmp_path / "data.h5", DISCRETE, 0) as writer:
        writer.append(make_episode(rng, 2, masks=False))
        with pytest.raises(MismatchError, match="has masks"):
            writer.append(make_episode(rng, 2, masks=True))


def test_finish_needs_episodes_that_add_up(tmp_path: Path, episodes: list[Episode]) -> None:
    with pytest.raises(InvalidValueError, match="no episode"):
        write(tmp_path / "data.h5", [])
    with NativeWriter(tmp_path / "data.h5", DISCRETE, 0) as writer:
        writer.append(episodes[0])
        with pytest.raises(InvalidValueError, match="played 2 episodes, the dataset has 1"):
            writer.finish([BehaviourRecord("random", "none", "sample", 2)])
    assert list(tmp_path.iterdir()) == []

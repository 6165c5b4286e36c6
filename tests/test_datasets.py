"""The dataset file: what goes in comes out, and any change of the file is noticed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.formats.native import NativeWriter, open_dataset
from datasets.formats.native_writer import arrays_digest
from datasets.formats.seal import SEAL_SIZE, Extent, read_seal, write_seal
from datasets.schema import BehaviourRecord, Dataset, DatasetCard, columns, row_counts
from env_adapters.api import TeamSpec
from env_adapters.errors import (
    CorruptFileError,
    HarnessError,
    InvalidValueError,
    MismatchError,
    OutputError,
    UnknownNameError,
)
from env_adapters.rollout import Episode

DISCRETE = TeamSpec("line-v1", "line-obs-v1", "toy/1", 2, 3, 4, "discrete", 5, 9, True)
CONTINUOUS = dataclasses.replace(DISCRETE, action_kind="continuous", action_size=2, has_win=False)


def make_episode(
    rng: np.random.Generator, length: int, spec: TeamSpec = DISCRETE, masks: bool = True
) -> Episode:
    """A random but well-formed episode."""
    n, discrete = spec.n_agents, spec.action_kind == "discrete"
    actions: Any = rng.integers(0, spec.action_size, (length, n))
    if not discrete:
        actions = rng.uniform(-1, 1, (length, n, spec.action_size)).astype(np.float32)
    available = np.ones((length + 1, n, spec.action_size), dtype=np.bool_)
    available[-1] = rng.random((n, spec.action_size)) < 0.5
    terminated = bool(rng.random() < 0.5)
    return Episode(
        seed=int(rng.integers(1 << 62)),
        rewards=rng.normal(size=length).astype(np.float32).tolist(),
        terminated=terminated,
        truncated=not terminated,
        won=bool(rng.random() < 0.5) if spec.has_win else None,
        observations=list(rng.normal(size=(length + 1, n, spec.observation_size)).astype(np.float32)),
        available_actions=list(available) if masks else [],
        states=list(rng.normal(size=(length + 1, spec.state_size)).astype(np.float32)),
        actions=list(actions),
    )


def write(path: Path, episodes: list[Episode], spec: TeamSpec = DISCRETE) -> DatasetCard:
    """Store episodes as one behaviour's."""
    with NativeWriter(path, spec, seed=7) as writer:
        for episode in episodes:
            writer.append(episode)
        return writer.finish([BehaviourRecord("random", "none", "sample", len(episodes))])


@pytest.fixture
def episodes() -> list[Episode]:
    rng = np.random.default_rng(0)
    return [make_episode(rng, length) for length in (3, 1, 5, 2)]


@pytest.fixture
def path(tmp_path: Path, episodes: list[Episode]) -> Path:
    write(tmp_path / "data.h5", episodes)
    return tmp_path / "data.h5"


def assert_holds(dataset: Dataset, episodes: list[Episode]) -> None:
    """Compare a dataset with what was recorded, bit for bit, by episode and by transition."""
    assert dataset.n_episodes == len(episodes)
    batch = dataset.transitions(np.arange(dataset.n_transitions))
    t = 0
    for index, episode in enumerate(episodes):
        stored = dataset.episode(index)
        masks = episode.available_actions
        assert (stored.seed, stored.won, stored.length) == (episode.seed, episode.won, episode.length)
        np.testing.assert_array_equal(stored.observations, episode.observations)
        np.testing.assert_array_equal(stored.states, episode.states)
        np.testing.assert_array_equal(stored.actions, episode.actions)
        np.testing.assert_array_equal(stored.rewards, np.asarray(episode.rewards, dtype=np.float32))
        for step in range(episode.length):
            ends = step == episode.length - 1
            np.testing.assert_array_equal(batch.observations[t], episode.observations[step])
            np.testing.assert_array_equal(batch.next_observations[t], episode.observations[step + 1])
            np.testing.assert_array_equal(batch.states[t], episode.states[step])
            np.testing.assert_array_equal(batch.next_states[t], episode.states[step + 1])
            np.testing.assert_array_equal(batch.actions[t], episode.actions[step])
            assert batch.rewards[t] == np.float32(episode.rewards[step])
            assert batch.terminated[t] == (ends and episode.terminated)
            assert batch.truncated[t] == (ends and episode.truncated)
            if batch.available_actions is None or batch.next_available_actions is None:
                assert not masks
            else:
                np.testing.assert_array_equal(batch.available_actions[t], masks[step])
                np.testing.assert_array_equal(batch.next_available_actions[t], masks[step + 1])
            t += 1
    assert t == dataset.n_transitions


# --- round trip -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    discrete=st.booleans(),
    masks=st.booleans(),
)
def test_round_trip(tmp_path: Path, lengths: list[int], seed: int, discrete: bool, masks: bool) -> None:
    rng = np.random.default_rng(seed)
    spec = DISCRETE if discrete else CONTINUOUS
    played = [make_episode(rng, length, spec, masks) for length in lengths]
    card = write(tmp_path / "data.h5", played, spec)
    dataset = open_dataset(tmp_path / "data.h5")
    assert dataset.card == card
    assert (card.n_episodes, card.n_transitions) == (len(lengths), sum(lengths))
    assert card.mean_episode_length == sum(lengths) / len(lengths)
    assert_holds(dataset, played)
    returns = dataset.episode_returns()
    np.testing.assert_allclose(
        returns, [episode.episode_return for episode in played], rtol=1e-12, atol=1e-12
    )
    assert (card.returns.min, card.returns.max) == (returns.min(), returns.max())
    assert card.returns.mean == pytest.approx(np.mean(returns), abs=1e-12)
    won = [episode.won is True for episode in played]
    assert card.win_rate == (sum(won) / len(won) if discrete else None)


def test_last_next_observation_is_the_episodes_own(path: Path, episodes: list[Episode]) -> None:
    dataset = open_dataset(path)
    last = dataset.episode_offsets[1:] - 1
    batch = dataset.transitions(last)
    for row, episode in enumerate(episodes):
        np.testing.assert_array_equal(batch.next_observations[row], episode.observations[-1])
    following = dataset.transitions(last[:-1] + 1).observations
    assert not np.any(np.all(batch.next_observations[:-1] == following, axis=(1, 2)))


def test_many_actions_and_types(tmp_path: Path) -> None:
    spec = dataclasses.replace(DISCRETE, action_size=300)
    episode = make_episode(np.random.default_rng(0), 4, spec)
    episode.actions[2][:] = 299
    write(tmp_path / "data.h5", [episode], spec)
    dataset = open_dataset(tmp_path / "data.h5")
    batch = dataset.transitions(np.array([2, 2]))
    assert dataset.actions.dtype == np.int16
    assert batch.actions.dtype == np.int64
    assert batch.observations.dtype == batch.rewards.dtype == np.float32
    assert batch.terminated.dtype == np.bool_
    np.testing.assert_array_equal(batch.actions, np.full((2, 2), 299))


@pytest.mark.parametrize("size", [128, 129])
def test_largest_action_survives(tmp_path: Path, size: int) -> None:
    spec = dataclasses.replace(DISCRETE, action_size=size)
    episode = make_episode(np.random.default_rng(0), 1, spec)
    episode.actions[0][:] = size - 1
    write(tmp_path / "data.h5", [episode], spec)
    assert open_dataset(tmp_path / "data.h5").transitions(np.array([0])).actions.tolist() == [[size - 1] * 2]


def test_same_episodes_same_bytes(tmp_path: Path, path: Path, episodes: list[Episode]) -> None:
    card = write(tmp_path / "again.h5", episodes)
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()
    episodes[2].rewards[0] = float(np.nextafter(np.float32(episodes[2].rewards[0]), np.float32(9)))
    assert write(tmp_path / "other.h5", episodes).sha256 != card.sha256


def test_arrays_are_read_only_memory_maps(path: Path) -> None:
    dataset = open_dataset(path)
    arrays = dataset.arrays()
    assert list(arrays) == list(columns(DISCRETE, True))
    for array in arrays.values():
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable
    assert np.shares_memory(dataset.episode(1).observations, arrays["observations"])


def test_any_hdf5_tool_reads_it(path: Path, episodes: list[Episode]) -> None:
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["observations"][:4], episodes[0].observations)
        assert file["terminated"].dtype == np.bool_
        assert json.loads(file["card"][()])["scenario"] == "line-v1"


@pytest.mark.parametrize("indices", [[-1], [11], [0, 3, 99]])
def test_wrong_indices(path: Path, indices: list[int]) -> None:
    dataset = open_dataset(path)
    assert dataset.n_transitions == 11
    with pytest.raises(IndexError, match="from 0 to 10"):
        dataset.transitions(np.array(indices))
    with pytest.raises(IndexError, match="from 0 to 3"):
        dataset.episode(-1)


def test_drawing_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    write(tmp_path / "data.h5", [make_episode(rng, 50) for _ in range(20)])
    dataset = open_dataset(tmp_path / "data.h5")
    draws = rng.integers(0, dataset.n_transitions, (200, 64))
    start = time.perf_counter()
    sizes = [len(dataset.transitions(indices).rewards) for indices in draws]
    duration_s = time.perf_counter() - start
    with capsys.disabled():
        print(f"\ntransitions(64): {len(draws) / duration_s:.0f} batches/s")
    assert sizes == [64] * 200


# --- damage ---------------------------------------------------------------------------------------------


def flip(path: Path, byte: int, bit: int) -> None:
    """Flip one bit; a second call undoes it."""
    with path.open("r+b") as file:
        file.seek(byte)
        value = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([value ^ (1 << bit)]))


def test_single_bit_flips_anywhere(path: Path) -> None:
    rng = np.random.default_rng(1)
    size = path.stat().st_size
    everywhere = rng.integers(0, size, 250).tolist()
    in_the_seal = rng.integers(0, 2200, 50).tolist()
    behind_each_array = [extent.offset + extent.size_bytes for extent in read_seal(path).extents]
    for byte in [0, 8, SEAL_SIZE - 1, SEAL_SIZE, size - 1, *everywhere, *in_the_seal, *behind_each_array]:
        bit = int(rng.integers(8))
        if byte == size:
            continue
        flip(path, byte, bit)
        with pytest.raises(CorruptFileError, match=r"data\.h5"):
            open_dataset(path)
        flip(path, byte, bit)
    assert open_dataset(path).n_transitions == 11


def test_flip_in_an_array_names_it(path: Path) -> None:
    for extent in read_seal(path).extents:
        flip(path, extent.offset + extent.size_bytes - 1, 3)
        with pytest.raises(CorruptFileError, match=extent.key):
            open_dataset(path)
        flip(path, extent.offset + extent.size_bytes - 1, 3)


def test_unverified_opening_still_checks_all_but_the_arrays(path: Path) -> None:
    seal = read_seal(path)
    owned = {b for extent in seal.extents for b in range(extent.offset, extent.offset + extent.size_bytes)}
    for byte in range(0, seal.size_bytes, 17):
        if byte in owned:
            continue
        flip(path, byte, byte % 8)
        with pytest.raises(CorruptFileError):
            open_dataset(path, verify=False)
        flip(path, byte, byte % 8)
    observations = next(extent for extent in seal.extents if extent.key == "observations")
    flip(path, observations.offset, 0)
    assert open_dataset(path, verify=False).n_transitions == 11


def test_truncation_and_surplus(path: Path) -> None:
    whole = path.read_bytes()
    lengths = {0, 1, 46, 47, SEAL_SIZE - 1, SEAL_SIZE, len(whole) - 1, *range(0, len(whole), 61)}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError):
            open_dataset(path, verify=False)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CorruptFileError, match="bytes instead of"):
        open_dataset(path)


def reseal(path: Path) -> None:
    """Give an edited file a valid card digest and seal, as a faulty writer would."""
    with h5py.File(path, "r+") as file:
        card = DatasetCard.from_json(file["card"][()])
        extents = []
        for key in columns(card, True):
            plain = isinstance(file.get(key, getlink=True), h5py.HardLink) and isinstance(
                file[key], h5py.Dataset
            )
            if plain and file[key].id.get_offset() is not None:
                size_bytes = file[key].id.get_storage_size()
                extents.append((key, file[key].id.get_offset(), size_bytes))
    content = path.read_bytes()
    digests = {key: hashlib.sha256(content[start : start + size]).hexdigest() for key, start, size in extents}
    counts = row_counts(card.n_episodes, card.n_transitions)
    complete = {key: digests.get(key, "") for key in columns(card, True)}
    card = dataclasses.replace(card, sha256=arrays_digest(columns(card, True), counts, complete))
    with h5py.File(path, "r+") as file:
        file["card"][()] = card.to_json().encode()
    write_seal(path, [Extent(key, start, size, digests[key]) for key, start, size in extents])


def replace_array(file: h5py.File, key: str, **options: Any) -> None:
    del file[key]
    file.create_dataset(key, **options)


def poke(key: str, row: Any, value: Any) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[key][row] = value

    return edit


def external_link(file: h5py.File) -> None:
    del file["rewards"]
    file["rewards"] = h5py.ExternalLink("elsewhere.h5", "/rewards")


def soft_link(file: h5py.File) -> None:
    del file["rewards"]
    file["rewards"] = h5py.SoftLink("/states")


def external_storage(file: h5py.File) -> None:
    name = str(Path(file.filename).with_name("raw.bin"))
    replace_array(file, "rewards", shape=(11,), dtype="f4", external=[(name, 0, 44)])


def group(file: h5py.File) -> None:
    del file["won"]
    file.create_group("won")


def objects(file: h5py.File) -> None:
    replace_array(file, "won", data=["a"] * 4, dtype=h5py.string_dtype())


EDITS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "missing": (lambda file: file.__delitem__("rewards"), "'rewards' is missing"),
    "unknown": (lambda file: file.create_dataset("extra", data=1), "unexpected key 'extra'"),
    "shape": (lambda f: replace_array(f, "rewards", data=np.zeros(10, "f4")), r"'rewards' has shape \(10,\)"),
    "type": (lambda f: replace_array(f, "rewards", data=np.zeros(11)), "'rewards' has type float64"),
    "endian": (lambda f: replace_array(f, "rewards", data=np.zeros(11, ">f4")), "'rewards' has type >f4"),
    "objects": (objects, "'won' has type object"),
    "group": (group, "'won' is a group"),
    "external link": (external_link, "'rewards' is a link to elsewhere"),
    "soft link": (soft_link, "'rewards' is a link to elsewhere"),
    "external storage": (external_storage, "'rewards' is not stored contiguously"),
    "chunked": (
        lambda f: replace_array(f, "rewards", data=np.zeros(11, "f4"), chunks=(4,)),
        "'rewards' is not stored contiguously",
    ),
    "compressed": (
        lambda f: replace_array(f, "rewards", data=np.zeros(11, "f4"), compression="gzip"),
        "'rewards' is not stored contiguously",
    ),
    "nan": (poke("observations", (6, 1, 2), np.nan), "'observations' row 6 holds"),
    "infinite": (poke("rewards", 10, -np.inf), "'rewards' row 10 holds"),
    "action": (poke("actions", (3, 0), 5), "'actions' row 3 holds"),
    "negative action": (poke("actions", (4, 1), -1), "'actions' row 4 holds"),
    "winner": (poke("won", 2, 2), "'won' row 2 holds"),
    "offsets fall": (poke("episode_offsets", 2, 3), "'episode_offsets' do not rise at row 2"),
    "offsets start": (poke("episode_offsets", 0, -1), "'episode_offsets' run from -1 to 11"),
    "offsets end": (poke("episode_offsets", 4, 12), "'episode_offsets' run from 0 to 12"),
}


@pytest.mark.parametrize("name", EDITS)
def test_sealed_nonsense(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.formats.native._BLOCK_BYTES", 50)  # several blocks even in a tiny array
    edit, message = EDITS[name]
    with h5py.File(path, "r+") as file:
        edit(file)
    reseal(path)
    with pytest.raises(CorruptFileError, match=message) as caught:
        open_dataset(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reseal_alone_is_accepted(path: Path, episodes: list[Episode]) -> None:
    before = path.read_bytes()
    reseal(path)
    assert path.read_bytes() == before
    assert_holds(open_dataset(path), episodes)


def test_flag_that_is_neither_false_nor_true(path: Path) -> None:
    extent = next(extent for extent in read_seal(path).extents if extent.key == "available_actions")
    flip(path, extent.offset + 10 * 3 + 4, 1)
    reseal(path)
    with pytest.raises(CorruptFileError, match="'available_actions' row 3 holds"):
        open_dataset(path)


def test_card_of_other_arrays(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        card = DatasetCard.from_json(file["card"][()])
        file["card"][()] = dataclasses.replace(card, sha256="0" * 64).to_json().encode()
    write_seal(path, list(read_seal_unchecked(path)))
    with pytest.raises(CorruptFileError, match="card belongs to other arrays"):
        open_dataset(path, verify=False)


def read_seal_unchecked(path: Path) -> Iterator[Extent]:
    """Extents of a file whose skeleton was edited."""
    from datasets.formats.seal import Seal

    yield from Seal.from_block(path.read_bytes()[:SEAL_SIZE]).extents


def test_other_files(tmp_path: Path, path: Path) -> None:
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(CorruptFileError, match="not a dataset file"):
        open_dataset(tmp_path / "text.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(CorruptFileError, match="HDF5 file of another kind"):
        open_dataset(tmp_path / "foreign.h5")
    with pytest.raises(UnknownNameError, match=r"did you mean data\.h5"):
        open_dataset(tmp_path / "dta.h5")
    with pytest.raises(UnknownNameError, match="is a folder"):
        open_dataset(tmp_path)
    with pytest.raises(UnknownNameError, match="no dataset file"):
        open_dataset(tmp_path / "nowhere" / "data.h5")


# --- writing --------------------------------------------------------------------------------------------


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


# --- the card -------------------------------------------------------------------------------------------


def test_card_round_trip(path: Path) -> None:
    card = open_dataset(path).card
    assert DatasetCard.from_json(card.to_json()) == card
    assert card.shares == (1.0,)
    assert (card.seed, card.engine, card.has_available_actions) == (7, "toy/1", True)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n_agents", "2", r"'card.n_agents' is '2', expected int"),
        ("n_agents", True, "expected int"),
        ("n_agents", 0, "n_agents is 0"),
        ("mean_episode_length", 3, "expected float"),
        ("win_rate", 1.5, "win_rate is 1.5"),
        ("action_kind", "both", "'card.action_kind' is 'both'"),
        ("behaviours", {}, "'card.behaviours'"),
        ("behaviours", [{"name": "x"}], r"'card.behaviours\[0\]' must be an object with the keys"),
        ("behaviours", [], "played 0 episodes"),
        ("returns", None, "'card.returns' must be an object"),
        ("sha256", "xyz", "hexadecimal"),
        ("n_transitions", 3, "cannot fill 4 episodes"),
        ("surprise", 1, "must be an object with the keys"),
        ("format_version", 2, "format version 2, this program reads 1"),
    ],
)
def test_card_validation(path: Path, key: str, value: object, message: str) -> None:
    fields = json.loads(open_dataset(path).card.to_json())
    fields[key] = value
    with pytest.raises(CorruptFileError, match=message):
        DatasetCard.from_json(json.dumps(fields))


def test_card_that_is_no_card(path: Path) -> None:
    card = open_dataset(path).card
    fields = json.loads(card.to_json())
    del fields["layout"]
    not_finite = card.to_json().replace("2.75", "NaN")
    assert "NaN" in not_finite
    for text in ("", "[]", "{", b"\xff", json.dumps(fields), not_finite):
        with pytest.raises(CorruptFileError):
            DatasetCard.from_json(text)
    with pytest.raises(InvalidValueError, match="not finite"):
        dataclasses.replace(card, mean_episode_length=float("nan"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenario": "other-v1"}, "scenario line-v1, but other-v1 needs scenario other-v1"),
        ({"layout": "obs-v2"}, "layout line-obs-v1, but line-v1 needs layout obs-v2"),
        ({"n_agents": 3}, "n_agents 2, .* n_agents 3"),
        ({"observation_size": 9}, "observation_size 3, .* observation_size 9"),
        ({"state_size": 9}, "state_size 4, .* state_size 9"),
        ({"action_kind": "continuous"}, "action_kind discrete, .* continuous"),
        ({"action_size": 6}, "action_size 5, .* action_size 6"),
    ],
)
def test_check_matches(path: Path, change: dict[str, Any], message: str) -> None:
    dataset = open_dataset(path)
    dataset.check_matches(DISCRETE)
    dataset.check_matches(dataclasses.replace(DISCRETE, engine="real/5", episode_limit=99))
    with pytest.raises(MismatchError, match=message):
        dataset.check_matches(dataclasses.replace(DISCRETE, **change))

"""OG-MARL's old TFRecord windows: episodes come back whole, and damage of any kind is one line."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.convert import convert
from datasets.formats import tfrecord_store
from datasets.formats.detect import recognise
from datasets.formats.native import open_dataset
from datasets.formats.tfrecord_store import crc32c, example, masked_crc
from datasets.schema import Dataset
from env_adapters.errors import CorruptFileError

N, D, S, A = 3, 6, 7, 5
Window = dict[str, Any]
TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 10}


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(array: np.ndarray[Any, Any]) -> bytes:
    shape = b"".join(field(2, b"\x08" + varint(size)) for size in array.shape)
    return b"\x08" + varint(TYPES[array.dtype.name]) + field(2, shape) + field(4, array.tobytes())


def serialise(window: Window) -> bytes:
    entries = [
        field(1, field(1, key.encode()) + field(2, field(1, field(1, tensor(np.asarray(values))))))
        for key, values in window.items()
    ]
    return field(1, b"".join(entries))


def frame(content: bytes) -> bytes:
    size = struct.pack("<Q", len(content))
    return size + struct.pack("<I", masked_crc(size)) + content + struct.pack("<I", masked_crc(content))


def save(folder: Path, windows: list[Window], name: str = "x_sequence_log_0.tfrecord") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(gzip.compress(b"".join(frame(serialise(window)) for window in windows)))
    return folder


def played(length: int, terminated: bool, seed: int) -> Window:
    """All steps of one episode; the reward counts them, so that rows can be told apart."""
    rng = np.random.default_rng(seed)
    rewards = (np.arange(length) + 100 * seed).astype(np.float32)
    steps: Window = {}
    for agent in range(N):
        legal = rng.random((length, A)) < 0.5
        actions = rng.integers(0, A, length)
        legal[np.arange(length), actions] = True
        discounts = np.ones(length, np.float32)
        discounts[-1] = not terminated
        steps |= {
            f"agent_{agent}_observations": rng.normal(size=(length, D)).astype(np.float32),
            f"agent_{agent}_legal_actions": legal.astype(np.float32),
            f"agent_{agent}_actions": actions,
            f"agent_{agent}_rewards": rewards,
            f"agent_{agent}_discounts": discounts,
        }
    steps["env_state"] = rng.normal(size=(length, S)).astype(np.float32)
    steps["zero_padding_mask"] = np.ones(length, np.float32)
    return steps


def cut(steps: Window) -> list[Window]:
    """Windows of 20, every 10 steps, as far as needed to hold all, the last one padded with zeros."""
    length = len(steps["env_state"])
    starts = range(0, max(1, length - 10), 10) if length > 20 else [0]
    found = []
    for start in starts:
        window = {}
        for key, values in steps.items():
            piece = values[start : start + 20]
            window[key] = np.concatenate([piece, np.zeros((20 - len(piece), *piece.shape[1:]), piece.dtype)])
        found.append(window | {"episode_return": np.float32(3.0)})
    return found


EPISODES = [(25, True), (20, True), (7, True), (43, False), (30, True), (1, True), (60, False)]


def episodes() -> list[Window]:
    return [played(length, terminated, seed) for seed, (length, terminated) in enumerate(EPISODES)]


def read(folder: Path, tmp_path: Path) -> Dataset:
    convert(folder, tmp_path / "out.h5")
    return open_dataset(tmp_path / "out.h5")


def assert_holds(dataset: Dataset, content: list[Window]) -> None:
    assert dataset.n_episodes == len(content)
    for index, steps in enumerate(content):
        stored, terminated = dataset.episode(index), EPISODES[index][1]
        length = len(steps["env_state"]) - (not terminated)
        assert stored.length == length
        np.testing.assert_array_equal(stored.rewards, steps["agent_0_rewards"][:length])
        np.testing.assert_array_equal(stored.states[:length], steps["env_state"][:length])
        assert stored.available_actions is not None
        for agent in range(N):
            ours = {
                "observations": stored.observations, "actions": stored.actions, "legal_actions": stored.available_actions,
            }  # fmt: skip
            for key, values in ours.items():
                np.testing.assert_array_equal(values[:length, agent], steps[f"agent_{agent}_{key}"][:length])
        assert (stored.terminated[-1], stored.truncated[-1]) == (terminated, not terminated)
        assert not (stored.terminated | stored.truncated)[:-1].any()


def test_checksums() -> None:
    """The examples of RFC 3720, and long inputs by the definition."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    content = np.random.default_rng(0).integers(0, 256, 1000, dtype=np.uint8).tobytes()
    for size in (63, 64, 65, 71, 500, 999, 1000):
        crc = 0xFFFFFFFF
        for byte in content[:size]:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        assert crc32c(content[:size]) == crc ^ 0xFFFFFFFF


def test_episodes_come_back_whole(tmp_path: Path) -> None:
    content = episodes()
    folder = save(tmp_path / "3m" / "Good", [window for steps in content for window in cut(steps)])
    assert recognise(folder) == "og-marl-tfrecord"
    dataset = read(folder, tmp_path)
    assert_holds(dataset, content)
    card = dataset.card
    assert (card.scenario, card.layout) == ("3m-v1", "og_marl-tfrecord-data")
    assert (card.n_agents, card.observation_size, card.state_size, card.action_size) == (N, D, S, A)
    assert card.behaviours[0].name == "Good/x_sequence_log_0"


def test_windows_that_overlap_at_the_end_are_not_counted_twice(tmp_path: Path) -> None:
    """Some writers go on until a window begins behind the end."""
    content = episodes()[:1]
    windows = cut(content[0])
    last = {key: np.zeros_like(values) for key, values in windows[-1].items() if key != "episode_return"}
    for key in last:
        last[key][:10] = windows[-1][key][10:]
    folder = save(tmp_path / "3m" / "Good", [*windows, last | {"episode_return": np.float32(3.0)}])
    assert_holds(read(folder, tmp_path), content)


def test_files_become_parts_and_a_step_after_the_end_is_the_final_observation(tmp_path: Path) -> None:
    steps = played(12, True, 5)
    for agent in range(N):
        steps[f"agent_{agent}_discounts"][[10, 11]] = 0, 1
    folder = save(tmp_path / "3m" / "Good", cut(steps))
    save(folder, cut(played(9, True, 6)), "x_sequence_log_10.tfrecord")
    dataset = read(folder, tmp_path)
    assert [behaviour.name[-2:] for behaviour in dataset.card.behaviours] == ["_0", "10"]
    first = dataset.episode(0)
    assert first.length == 11 and first.terminated[-1]
    np.testing.assert_array_equal(first.observations[11, 1], steps["agent_1_observations"][11])


def test_continuous_actions_without_masks_and_states(tmp_path: Path) -> None:
    steps = {key: v for key, v in played(14, True, 1).items() if "legal" not in key and key != "env_state"}
    for agent in range(N):
        steps[f"agent_{agent}_actions"] = np.random.default_rng(agent).uniform(-1, 1, (14, 2))
    windows = cut(steps | {"env_state": np.zeros((14, 1))})
    for window in windows:
        del window["env_state"]
    dataset = read(save(tmp_path / "2ant" / "Good", windows), tmp_path)
    assert (dataset.card.action_kind, dataset.card.state_size) == ("continuous", N * D)
    np.testing.assert_array_equal(dataset.actions[:, 2], steps["agent_2_actions"].astype(np.float32))


def put(key: str, place: Any, value: Any, number: int = 1) -> Callable[[list[Window]], Any]:
    def edit(windows: list[Window]) -> None:
        windows[number][key] = windows[number][key].copy()
        windows[number][key][place] = value

    return edit


def change(key: str, into: Callable[[Any], Any], number: int = 1) -> Callable[[list[Window]], Any]:
    def edit(windows: list[Window]) -> None:
        windows[number][key] = into(windows[number][key])

    return edit


BAD: dict[str, tuple[Callable[[list[Window]], Any], str]] = {
    "nan": (put("agent_1_observations", (3, 2), np.nan, 0), r"'agent_\*_observations' row 3 is not finite"),
    "action": (put("agent_1_actions", 4, 5, 2), r"'agent_\*_actions' row 29 is .* 0 to 4"),
    "forbidden": (put("agent_2_legal_actions", 4, 0, 2), r"'agent_\*_actions' row 29 of agent 2 .* not available"),
    "rewards": (put("agent_2_rewards", 4, 77, 2), r"'agent_\*_rewards' row 29 differs between agents"),
    "discount": (put("agent_0_discounts", 4, np.nan, 2), r"'agent_\*_discounts' row 29 is not finite"),
    "goes on": (lambda w: [put(f"agent_{i}_discounts", 4, 0, 2)(w) for i in range(N)], r"'agent_\*_discounts' row 29 is 0, but the episode goes on"),
    "missing": (lambda w: w[1].pop("agent_2_rewards"), r"'agent_2_rewards' row 1 is missing"),
    "no agents": (lambda w: [w[0].pop(f"agent_{i}_observations") for i in range(N)], r"'agent_\*_observations' row 0 are missing"),
    "no masks": (lambda w: [w[0].pop(f"agent_{i}_legal_actions") for i in range(N)], "legal_actions' row 0 are missing"),
    "shape": (change("agent_1_observations", lambda o: o[:, :4]), r"'agent_1_observations' row 1 has shape \(20, 4\)"),
    "state": (change("env_state", lambda s: s[:, :4]), r"'states' row 1 has float32 of shape \(20, 4\), expected"),
    "type": (change("env_state", lambda s: s.astype(np.float64)), r"'states' row 1 has float64"),
    "mask": (put("zero_padding_mask", 3, 0), "'zero_padding_mask' row 1 is not ones followed by zeros"),
    "only padding": (put("zero_padding_mask", slice(None), 0), "'zero_padding_mask' row 1 is not ones"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_contents_are_named_and_leave_nothing(tmp_path: Path, name: str) -> None:
    windows = [window for steps in episodes()[:2] for window in cut(steps)]
    edit, message = BAD[name]
    edit(windows)
    folder = save(tmp_path / "3m" / "Good", windows)
    (tmp_path / "out").mkdir()
    with pytest.raises(CorruptFileError, match=message) as caught:
        convert(folder, tmp_path / "out" / "new.h5")
    assert "x_sequence_log_0.tfrecord" in str(caught.value) and "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_windows_in_no_order_are_refused(tmp_path: Path) -> None:
    windows = [window for seed in range(8) for window in cut(played(60, True, seed))]
    order = np.random.default_rng(0).permutation(len(windows))
    folder = save(tmp_path / "3m" / "Good", [windows[place] for place in order])
    with pytest.raises(CorruptFileError, match="episodes cannot be rebuilt"):
        convert(folder, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def raw(tmp_path: Path, content: bytes, compress: bool = True) -> Path:
    folder = tmp_path / "3m" / "Good"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.tfrecord").write_bytes(gzip.compress(content, 1) if compress else content)
    return folder


def refused(folder: Path, tmp_path: Path, message: str) -> None:
    with pytest.raises(CorruptFileError, match=message) as caught:
        convert(folder, tmp_path / "out.h5")
    assert str(folder / "a.tfrecord") in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_damaged_frames(tmp_path: Path) -> None:
    whole = b"".join(frame(serialise(window)) for window in cut(played(25, True, 0)))
    second = len(whole) // 2
    size = struct.pack("<Q", 1 << 40)
    cases = {
        whole[: second + 40]: r"'records' row 1 is cut off",
        whole[: second + 5]: r"'records' row 1 is cut off",
        whole[:20] + b"x" + whole[21:]: r"'records' row 0 was altered",
        b"x" + whole[1:]: r"'records' row 0 has a damaged length",
        size + struct.pack("<I", masked_crc(size)): r"'records' row 0 claims 1099511627776 bytes",
        b"": r"'records' are missing",
    }
    for content, message in cases.items():
        refused(raw(tmp_path, content), tmp_path, message)
    refused(
        raw(tmp_path, whole, compress=False), tmp_path, r"'records' row 0 cannot be read: Not a gzipped file"
    )
    cut_off = gzip.compress(whole)
    refused(raw(tmp_path, cut_off[: len(cut_off) // 2], compress=False), tmp_path, "cannot be read: .* ended")


def entry(value: bytes, key: bytes = b"k") -> bytes:
    return field(1, field(1, field(1, key) + field(2, value)))


SHAPE_2 = field(2, field(2, b"\x08\x02"))
MESSAGES = {
    "text": (field(1, field(1, b"\xff" * 12)), "number is too long|cut off|unexpected|wire"),
    "other field": (field(2, b""), "unexpected field 2"),
    "numbers": (entry(field(2, field(1, b"\0\0\0\0"))), "unexpected field 2"),
    "two values": (entry(field(1, field(1, b"") + field(1, b""))), "not one serialized tensor"),
    "text tensor": (entry(field(1, field(1, b"\x08\x07" + SHAPE_2 + field(8, b"a")))), "not stored as bytes"),
    "complex": (entry(field(1, field(1, b"\x08\x08" + SHAPE_2 + field(4, bytes(16))))), "has type 8"),
    "too short": (entry(field(1, field(1, b"\x08\x01" + SHAPE_2 + field(4, bytes(7))))), "has 7 bytes"),
    "unknown size": (entry(field(1, field(1, b"\x08\x01" + field(2, field(2, b"\x08" + b"\xff" * 9 + b"\x01"))))), "shape that is not known"),
    "huge": (entry(field(1, field(1, b"\x08\x01" + field(2, field(2, b"\x08\xff\xff\xff\x1f") * 8)))), "has 0 bytes"),
    "flags": (entry(field(1, field(1, b"\x08\x0a" + SHAPE_2 + field(4, b"\0\2")))), "neither false nor true"),
    "no name": (field(1, field(1, field(2, b""))), "without name"),
    "group": (b"\x0b", "wire type 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_that_are_no_windows(tmp_path: Path, name: str) -> None:
    content, message = MESSAGES[name]
    refused(
        raw(tmp_path, frame(content)), tmp_path, f"'records' row 0 is no window of tensors: .*({message})"
    )


def test_random_bytes_never_escape(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sound = serialise(cut(played(3, True, 0))[0])
    for _ in range(1500):
        content = bytearray(sound[: int(rng.integers(1, len(sound)))] if rng.random() < 0.3 else sound)
        for place in rng.integers(0, min(len(content), 400), 4).tolist():
            content[place] = int(rng.integers(256))
        try:
            assert isinstance(example(bytes(content)), dict)
        except ValueError as error:
            assert len(str(error)) < 300
    for _ in range(500):
        try:
            example(rng.integers(0, 256, int(rng.integers(1, 60)), dtype=np.uint8).tobytes())
        except ValueError:
            continue


def test_a_record_larger_than_allowed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord_store, "MAX_RECORD_BYTES", 1000)
    refused(raw(tmp_path, frame(bytes(1001))), tmp_path, "claims 1001 bytes")

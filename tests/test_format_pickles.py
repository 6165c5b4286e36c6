"""OMIGA's SMAC episodes: what is in them is read, and nothing in them is run."""

from __future__ import annotations

import collections
import io
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.convert import convert
from datasets.formats import omiga_smac, pickled_child
from datasets.formats.detect import recognise
from datasets.formats.native import open_dataset
from datasets.formats.pickled import load
from datasets.formats.pickled_values import RefusedError
from env_adapters.errors import CorruptFileError

N, D, S, A = 5, 124, 156, 12
Episode = list[list[list[Any]]]


def episode(length: int, seed: int = 0, wrap: Callable[[Any], Any] = np.asarray) -> Episode:
    """Entries of a step: global state, local observation, [action], [reward], done, available actions."""
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=length).tolist()
    agents = []
    for _ in range(N):
        steps = []
        for step in range(length):
            available = rng.random(A) < 0.5
            action = int(rng.integers(A))
            available[action] = True
            steps.append([
                wrap(rng.normal(size=S)), wrap(rng.normal(size=D)), [action], [rewards[step]],
                step == length - 1, wrap(available.astype(np.float32)),
            ])  # fmt: skip
        agents.append(steps)
    return agents


def save_torch(path: Path, content: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path, **options)
    return path


def save_pickle(path: Path, content: Any, protocol: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))
    return path


SAVERS: dict[str, Callable[[Path, Any], Path]] = {
    "zip": save_torch,
    "legacy": lambda path, content: save_torch(path, content, _use_new_zipfile_serialization=False),
    **{f"pickle {protocol}": (lambda path, content, protocol=protocol: save_pickle(path, content, protocol)) for protocol in (2, 3, 4)},
}  # fmt: skip


@pytest.mark.parametrize("saver", SAVERS)
def test_episodes_are_read(tmp_path: Path, saver: str) -> None:
    folder = tmp_path / "5m_vs_6m" / "medium-replay"
    lengths = (4, 70, 1, 11)
    episodes = [episode(length, seed) for seed, length in enumerate(lengths)]
    for number, content in enumerate(episodes):
        SAVERS[saver](folder / f"{8 + number}.pkl", content)
    assert recognise(folder) == "omiga-smac"
    conversion = convert(folder, tmp_path / "out.h5")
    card = conversion.card
    assert (card.scenario, card.source) == ("5m_vs_6m-v1", "omiga/smac_v1/5m_vs_6m/Medium-Replay")
    assert card.layout in ("smac-v1-omiga", "omiga-smac_v1-data")
    assert (card.n_agents, card.observation_size, card.state_size, card.action_size) == (N, D, N * S, A)
    dataset = open_dataset(tmp_path / "out.h5")
    assert np.diff(dataset.episode_offsets).tolist() == [4, 69, 1, 11], "numbers, not letters, order files"
    for index, content in enumerate(episodes):
        stored = dataset.episode(index)
        for step in range(stored.length):
            for agent in range(N):
                entry = content[agent][step]
                np.testing.assert_array_equal(stored.observations[step, agent], entry[1].astype(np.float32))
                assert stored.actions[step, agent] == entry[2][0]
                assert stored.rewards[step] == np.float32(entry[3][0])
                assert stored.available_actions is not None
                np.testing.assert_array_equal(stored.available_actions[step, agent], entry[5] == 1)
            joint = np.concatenate([content[agent][step][0] for agent in range(N)])
            np.testing.assert_array_equal(stored.states[step], joint.astype(np.float32))
        limited = index == 1
        assert (stored.terminated[-1], stored.truncated[-1]) == (not limited, limited)


WRAPS: dict[str, Callable[[Any], Any]] = {
    "lists": lambda array: np.asarray(array).tolist(),
    "tensors": torch.as_tensor,
    "half tensors": lambda array: torch.as_tensor(np.asarray(array, np.float32)).half(),
    "views": lambda array: torch.as_tensor(np.repeat(np.asarray(array)[:, None], 3, axis=1)).T[1],
    "float32": lambda array: np.asarray(array, np.float32),
    "big-endian": lambda array: np.asarray(array).astype(">f8"),
    "rows": lambda array: np.asarray(array)[None],
    "columns first": lambda array: np.asfortranarray(np.asarray(array).reshape(2, -1)),
    "in a list": lambda array: [np.asarray(array)],
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_numbers_in_any_form(tmp_path: Path, wrap: str) -> None:
    expected = episode(3, 1)
    for saver in ("zip", "legacy"):
        path = SAVERS[saver](tmp_path / f"{saver}.pkl", episode(3, 1, WRAPS[wrap]))
        arrays = pickled_child.episode(path.read_bytes())
        kind = np.float16 if wrap == "half tensors" else np.float32
        for place, name in enumerate(("states", "observations")):
            given = arrays[place].astype(kind)
            for step in range(3):
                for agent in range(N):
                    np.testing.assert_array_equal(
                        given[step, agent], np.asarray(expected[agent][step][place]).astype(kind), name
                    )


def test_scalars(tmp_path: Path) -> None:
    content = episode(2)
    for agent in content:
        for step in agent:
            step[2], step[3], step[4] = np.array([3]), [np.float32(1.5)], np.bool_(True)
            step[5] = list(np.ones(A, np.float32))
    for protocol in (2, 4):
        arrays = pickled_child.episode(pickle.dumps(content, protocol))
        assert (arrays[2] == 3).all() and (arrays[3] == 1.5).all() and (arrays[4] == 1).all()
        assert (arrays[5] == 1).all()


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def doubling(times: int) -> bytes:
    """Lists that hold the list before twice: 2 ** times leaves in a few bytes."""
    steps = b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(times))
    return b"\x80\x02]q\x00" + steps + b"."


def huge_array() -> bytes:
    array = pickle.dumps(np.zeros(3), 2)
    return array.replace(b"K\x03\x85", b"J" + struct.pack("<i", 2**31 - 1) + b"\x85", 1)


def repeated_array() -> bytes:
    """A megabyte of numbers that every one of 64 x 10,000 steps refers to."""
    array, small = np.zeros(1 << 17), [1]
    step = [array, array, small, small, True, array]
    return pickle.dumps([[step] * 10_000] * 64, 2)


def compressed(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", content)
    return stream.getvalue()


def hostile(sentinel: str) -> dict[str, tuple[bytes, str]]:
    """File contents that try to run something or to take too much, and what is said of them."""
    command = f"touch {sentinel}"
    calls = {
        "os.system": (Call(os.system, command), r"asks for '(posix|nt|os)\.system'"),
        "eval": (Call(eval, f"open({sentinel!r}, 'w')"), r"asks for '(builtins|__builtin__)\.eval'"),
        "exec": (Call(exec, f"open({sentinel!r}, 'w')"), r"asks for '(builtins|__builtin__)\.exec'"),
        "open": (Call(open, sentinel, "w"), r"asks for '(_?io|(__)?builtins?(__)?)\.open'"),
        "getattr": (Call(getattr, 3, "real"), r"asks for '(builtins|__builtin__)\.getattr'"),
        "import": (Call(__import__, "os"), r"asks for '(builtins|__builtin__)\.__import__'"),
        "inside": ([[Call(os.system, command)]], r"system'"),
        "state": (random.Random(1), r"asks for 'random\.Random'"),
        "class": (collections.Counter, r"asks for 'collections\.Counter'"),
        "objects": (np.array([Call(os.system, command)], dtype=object), r"system'|of type 'O8'"),
        "records": (np.zeros(2, [("a", "f4")]), r"of type 'V4'"),
        "texts": (np.array(["a"]), r"of type 'U1'"),
        "set": ({1, 2}, r"asks for '.*set'|instruction"),
    }  # fmt: skip
    found = {name: (pickle.dumps(content, 3), said) for name, (content, said) in calls.items()}
    found |= {
        "stack global": (pickle.dumps(Call(os.system, command), 4), r"asks for '(posix|nt|os)\.system'"),
        "dotted": (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", r"asks for 'os\.system'"),
        "chain": (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", r"asks for 'numpy\.ndarray\.__init__'"),
        "instance": (b"(S'true'\nios\nsystem\n.", "instruction INST"),
        "object": (b"\x80\x02(cos\nsystem\nS'true'\no.", r"asks for 'os\.system'"),
        "new object": (b"\x80\x02cnumpy\nndarray\n)\x81.", "instruction NEWOBJ"),
        "call of an array": (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "not a function of data"),
        "extension": (b"\x80\x02\x82\x01.", "instruction EXT1"),
        "persistent": (b"\x80\x02X\x03\x00\x00\x00abcQ.", "outside the file"),
        "attributes": (b"\x80\x02}}b.", "sets attributes"),
        "deep": (nested(1_000_000), "does not hold|steps|entries|numbers"),
        "doubling": (doubling(60), "does not hold|steps|entries"),
        "huge text": (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"abc.", "is damaged"),
        "huge number": (b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"1.", "is damaged"),
        "huge array": (huge_array(), "impossible shape"),
        "repeated array": (repeated_array(), "more than 50000000 numbers"),
        "no numbers": (b"\x80\x02K\x05.", "does not hold a list of agents"),
        "itself": (b"\x80\x02]q\x00(h\x00h\x00e.", "does not hold|row 0"),
        "archive of another kind": (compressed(b"")[:2] + b"\x03\x04" + b"\0" * 60, "is damaged|another kind"),
        "bomb": (compressed(b"\0" * 50_000_000), "compressed archive"),
        "empty": (b"\x80\x02", "is damaged|no end"),
    }  # fmt: skip
    return found


NAMES = sorted(hostile("x"))


def test_hostile_files_are_refused_and_run_nothing(tmp_path: Path) -> None:
    """All in one folder after a sound episode, so that one process meets them and the next ones."""
    sentinel = tmp_path / "ran"
    sound = save_torch(tmp_path / "sound.pkl", episode(3))
    with omiga_smac._Child() as child:
        for name, (content, message) in hostile(str(sentinel)).items():
            path = tmp_path / f"{name}.pkl"
            path.write_bytes(content)
            with pytest.raises(CorruptFileError, match=message) as caught:
                child.read(path)
            assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value), name
            assert not sentinel.exists(), name
        assert child.read(sound)["rewards"].shape == (3, N, 1)


def test_the_sentinel_would_be_written(tmp_path: Path) -> None:
    """The planted calls do run where something unpickles them."""
    content, _ = hostile(str(tmp_path / "ran"))["os.system"]
    pickle.loads(content)
    assert (tmp_path / "ran").exists()


def test_conversion_of_a_hostile_folder_leaves_nothing(tmp_path: Path) -> None:
    folder, sentinel = tmp_path / "3m" / "good", tmp_path / "ran"
    save_torch(folder / "0.pkl", episode(3))
    save_pickle(folder / "1.pkl", Call(os.system, f"touch {sentinel}"))
    (tmp_path / "out").mkdir()
    with pytest.raises(CorruptFileError, match=r"1\.pkl asks for '.*system', .* nothing in it was run"):
        convert(folder, tmp_path / "out" / "x.h5")
    assert list((tmp_path / "out").iterdir()) == [] and not sentinel.exists()


def test_a_file_that_kills_the_process_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system ends it for too much time, and where it never answers."""
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_CPU is not None
    slow = tmp_path / "slow.pkl"
    slow.write_bytes(b"\x80\x02" + b"K\x010" * 3_000_000 + b".")
    monkeypatch.setattr(omiga_smac, "_PATIENCE_S", 0.5)
    with omiga_smac._Child() as child:
        with pytest.raises(CorruptFileError, match=r"slow\.pkl takes too much time or memory"):
            child.read(slow)
        monkeypatch.setattr(omiga_smac, "_PATIENCE_S", 60.0)
        assert child.read(save_torch(tmp_path / "sound.pkl", episode(2)))["rewards"].shape == (2, N, 1)


def test_the_process_is_limited() -> None:
    """What a program could do if one ever ran: no files, little memory, little time."""
    import subprocess
    import sys

    pytest.importorskip("resource")
    code = (
        "import resource as r; from datasets.formats import pickled_child as c; c._limit(); c._allow_time()\n"
        "print(r.getrlimit(r.RLIMIT_FSIZE)[0], r.getrlimit(r.RLIMIT_CPU)[0] < 80, r.getrlimit(r.RLIMIT_AS)[0] < 2**36)\n"
        "try: bytearray(1 << 33)\nexcept MemoryError: print('no memory')\n"
        "import sys; print([n for n in ('torch', 'h5py', 'numba') if n in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n")[:3] == ["0 True True", "no memory", "[]"]


@pytest.mark.parametrize("saver", ["zip", "legacy", "pickle 4"])
def test_cut_and_altered_files(tmp_path: Path, saver: str) -> None:
    whole = SAVERS[saver](tmp_path / "a.pkl", episode(1)).read_bytes()
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(whole) - 1, 60).tolist():
        with pytest.raises(RefusedError):
            pickled_child.episode(whole[:length])
    for _ in range(300):
        spoiled = bytearray(whole)
        for place in rng.integers(0, len(whole), 3).tolist():
            spoiled[place] ^= 1 << int(rng.integers(8))
        try:
            assert len(pickled_child.episode(bytes(spoiled))) == 6
        except RefusedError as error:
            assert str(error)


def test_random_programs_never_escape() -> None:
    rng = np.random.default_rng(1)
    opcodes = b"()]}lt012b.aesuhqKMIJNRQcX\x80\x85\x86\x87\x88\x8c\x93\x94"
    for _ in range(3000):
        chosen = bytes(rng.choice(list(opcodes), int(rng.integers(1, 25))).tolist())
        try:
            load(chosen + b".")
        except RefusedError:
            continue


def change(place: int, value: Any, agent: int = 2, step: int = 1) -> Callable[[Episode], Any]:
    def edit(content: Episode) -> None:
        content[agent][step][place] = value

    return edit


BAD: dict[str, tuple[Callable[[Episode], Any], str]] = {
    "nan": (lambda c: c[1][2][1].__setitem__(4, np.nan), r"'entry 1 \(observations\)' row 2 is not finite"),
    "unknown action": (change(2, [12]), r"'entry 2 \(actions\)' row 1 is .* 0 to 11"),
    "forbidden action": (change(5, np.zeros(A)), r"'entry 2 \(actions\)' row 1 of agent 2 .* not available"),
    "rewards": (change(3, [7.0]), r"'entry 3 \(rewards\)' row 1 differs between agents"),
    "short": (lambda c: c[3].pop(), r"holds \[2, 3\] steps of its agents"),
    "entries": (lambda c: c[0][1].pop(), "row 1 of agent 0 does not hold 6 entries"),
    "shape": (change(1, np.zeros(9)), r"'entry 1 \(observations\)' row 1 has \(9,\), expected \(124,\)"),
    "text": (change(3, ["x"]), r"'entry 3 \(rewards\)' row 1 is not made of numbers"),
    "nothing": (change(0, None), r"'entry 0 \(states\)' row 1 is not made of numbers"),
    "empty": (change(0, []), r"'entry 0 \(states\)' row 1 is not made of numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_contents_are_named_and_leave_nothing(tmp_path: Path, name: str) -> None:
    edit, message = BAD[name]
    content = episode(3)
    edit(content)
    folder = tmp_path / "5m_vs_6m" / "good"
    save_torch(folder / "0.pkl", episode(3))
    save_torch(folder / "1.pkl", content)
    (tmp_path / "out").mkdir()
    with pytest.raises(CorruptFileError, match=message) as caught:
        convert(folder, tmp_path / "out" / "x.h5")
    assert str(folder / "1.pkl") in str(caught.value) and "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_episodes_of_other_sizes_and_folders_without_episodes(tmp_path: Path) -> None:
    folder = tmp_path / "3m" / "good"
    save_torch(folder / "0.pkl", episode(2))
    save_torch(folder / "1.pkl", episode(2)[:3])
    with pytest.raises(CorruptFileError, match=r"1\.pkl: 'entry 0 \(states\)' has rows of shape \(3, 156\)"):
        convert(folder, tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()

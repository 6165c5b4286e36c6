"""Agents as files: what comes back is what was saved, or an error that names the file."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sample_runs import flipped

from agents import checkpoints
from agents.bc import BcConfig
from agents.checkpoints import Checkpoint, check_fits, initial, load_checkpoint, save_checkpoint
from agents.ppo import PpoConfig
from agents.vgm2p import Vgm2pConfig
from env_adapters.api import TeamSpec
from env_adapters.errors import (
    CorruptFileError,
    MismatchError,
    OutputError,
    UnknownNameError,
)

SPEC = TeamSpec(
    scenario="3m-v1",
    layout="smac-v1",
    engine="embedded-sc2/1",
    n_agents=2,
    observation_size=3,
    state_size=4,
    action_kind="discrete",
    action_size=3,
    episode_limit=5,
    has_win=True,
)
WALKER = replace(SPEC, scenario="walker-v1", layout="joints", action_kind="continuous", has_win=False)
PROVENANCE = {"trainer": "offline", "dataset_name": "3m-gööd", "seed": 3, "return": 1.25, "steps": 10}
SMALL = Vgm2pConfig(hidden=(4,), n_critics=1)


def saved(path: Path, name: str = "vgm2p", config: Any = SMALL, spec: TeamSpec = SPEC) -> Checkpoint:
    checkpoint = initial(name, config, spec, seed=7)
    digest = save_checkpoint(path, checkpoint.agent, checkpoint.params, PROVENANCE)
    assert digest == checkpoint.weights_hash
    return checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "agent.safetensors"
    saved(path)
    return path.read_bytes()


@pytest.mark.parametrize("spec", [SPEC, WALKER])
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("vgm2p", SMALL),
        ("bc-meanflow", BcConfig(hidden=(5, 4))),
        ("ppo", PpoConfig(hidden=(6,))),
        ("random", None),
    ],
)
def test_round_trip_keeps_every_bit(tmp_path: Path, name: str, config: Any, spec: TeamSpec) -> None:
    path = tmp_path / "new folder" / "agent.safetensors"
    before = saved(path, name, config, spec)
    after = load_checkpoint(path)
    assert type(after.agent) is type(before.agent)
    assert (after.agent.config, after.agent.spec) == (before.agent.config, spec)
    assert after.provenance == PROVENANCE
    assert after.weights_hash == before.weights_hash
    assert after.path == path
    assert after.params.keys() == before.params.keys()
    for key, tensor in before.params.items():
        assert after.params[key].dtype == tensor.dtype
        assert after.params[key].numpy().tobytes() == tensor.detach().numpy().tobytes()
    assert [file.name for file in path.parent.iterdir()] == [path.name], "no temporary file stays"


def test_special_numbers_survive(tmp_path: Path) -> None:
    checkpoint = initial("vgm2p", SMALL, SPEC, seed=0)
    key = max(checkpoint.params, key=lambda name: checkpoint.params[name].numel())
    odd = checkpoint.params[key].detach().clone().flatten()
    odd[:4] = torch.tensor([float("inf"), -0.0, 1e-45, float("nan")])
    params = checkpoint.params | {key: odd.reshape(checkpoint.params[key].shape)}
    save_checkpoint(tmp_path / "a", checkpoint.agent, params, {})
    loaded = load_checkpoint(tmp_path / "a")
    assert loaded.params[key].numpy().tobytes() == params[key].numpy().tobytes()


def test_equal_agents_are_equal_files_and_any_difference_shows_in_the_hash(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    hashes = {first.weights_hash}
    agent = first.agent
    for key, tensor in first.params.items():
        nudged = tensor.detach().clone()
        nudged.view(torch.int32).view(-1)[0] ^= 1
        hashes.add(checkpoints.weights_hash(agent, first.params | {key: nudged}))
    hashes.add(checkpoints.weights_hash(type(agent)(replace(SMALL, tau=0.5), SPEC), first.params))
    hashes.add(checkpoints.weights_hash(type(agent)(SMALL, replace(SPEC, scenario="8m-v1")), first.params))
    assert len(hashes) == len(first.params) + 3
    assert second.weights_hash == first.weights_hash


def same(checkpoint: Checkpoint, whole: bytes, tmp_path: Path) -> bool:
    """Whether a checkpoint says exactly what the undamaged file says."""
    path = tmp_path / "reference"
    path.write_bytes(whole)
    reference = load_checkpoint(path)
    return (
        checkpoint.weights_hash == reference.weights_hash
        and checkpoint.provenance == reference.provenance
        and checkpoints.weights_hash(checkpoint.agent, checkpoint.params) == reference.weights_hash
    )


def test_flipped_bits_are_found(whole: bytes, tmp_path: Path) -> None:
    """All bits of the header's start, and 300 random ones of the whole file, half of them in the weights.

    A flip that leaves the meaning alone, as from \\u00f6 to \\u00F6 in JSON, may pass; there are few of those.
    """
    rng = np.random.default_rng(0)
    header_end = 8 + int.from_bytes(whole[:8], "little")
    bits = [*range(24 * 8), *rng.integers(8 * 8, 8 * header_end, 150)]
    bits += list(rng.integers(8 * header_end, 8 * len(whole), 150))
    path = tmp_path / "damaged.safetensors"
    harmless = []
    for bit in map(int, bits):
        path.write_bytes(flipped(whole, bit))
        try:
            loaded = load_checkpoint(path)
        except CorruptFileError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert same(loaded, whole, tmp_path), f"bit {bit} was read as something else"
            harmless.append(bit)
    assert len(harmless) <= 3
    assert all(bit < 8 * header_end for bit in harmless)


def test_truncated_and_extended_files_are_found(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    lengths = np.unique(np.linspace(0, len(whole) - 1, 60).astype(int))
    for damaged in [*(whole[:length] for length in map(int, lengths)), whole + b"\0", b"\0" + whole]:
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match=r"damaged\.safetensors"):
            load_checkpoint(path)


def rewritten(whole: bytes, tmp_path: Path, change: dict[str, Any]) -> Path:
    """The same file with members of its header replaced, but under its old digest."""
    source = tmp_path / "source.safetensors"
    source.write_bytes(whole)
    with safe_open(source, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        (entry, text), *_ = file.metadata().items()
    sealed = json.loads(text)
    assert set(change) <= set(sealed["header"])
    sealed["header"] |= change
    path = tmp_path / "edited.safetensors"
    save_file(tensors, path, {entry: json.dumps(sealed)})
    return path


def test_identity_and_provenance_cannot_be_edited(whole: bytes, tmp_path: Path) -> None:
    assert load_checkpoint(rewritten(whole, tmp_path, {})).provenance == PROVENANCE
    better = PROVENANCE | {"dataset_name": "expert"}
    other = {"agent": "vgm2p", "config": asdict(SMALL), "spec": asdict(replace(SPEC, scenario="8m-v1"))}
    for change in ({"provenance": better}, {"identity": other}, {"format": "else/1"}):
        with pytest.raises(CorruptFileError, match="altered"):
            load_checkpoint(rewritten(whole, tmp_path, change))


def foreign(kind: str, path: Path) -> None:
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("these are no weights\n" * 20)
    elif kind == "zip":
        path.write_bytes(b"PK\x03\x04" + bytes(500))
    elif kind == "pickle":
        torch.save({"weights": torch.zeros(2)}, path)
    elif kind == "npz":
        np.savez(path.with_suffix(".npz"), a=np.zeros(3))
        path.with_suffix(".npz").rename(path)
    elif kind == "strange safetensors":
        save_file({"weight": torch.zeros(2)}, path, {"format": "pt"})
    elif kind == "bare safetensors":
        save_file({"weight": torch.zeros(2, dtype=torch.bfloat16)}, path)
    else:
        checkpoints.write_tensors(path, {"fingerprint": "", "step": 3}, {"params.x": torch.zeros(2)})


KINDS = (
    "empty", "text", "zip", "pickle", "npz", "strange safetensors", "bare safetensors", "training state",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_other_files_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    foreign(kind, path)
    with pytest.raises(CorruptFileError, match=r"other\.safetensors") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "identity",
    [
        {"agent": "vgm3p", "config": {}, "spec": asdict(SPEC)},
        {"agent": "vgm2p", "config": {"hidden": [4], "new option": 1}, "spec": asdict(SPEC)},
        {"agent": "vgm2p", "config": asdict(SMALL), "spec": {"scenario": "3m-v1"}},
        {"agent": "nearest", "config": {}, "spec": asdict(WALKER)},
        {"agent": "vgm2p"},
    ],
)
def test_an_intact_file_of_another_version_is_one_line_about_the_file(
    identity: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "newer.safetensors"
    header = {"format": checkpoints.FORMAT, "identity": identity, "provenance": {}}
    checkpoints.write_tensors(path, header, {"weight": torch.zeros(2)})
    with pytest.raises(CorruptFileError, match=r"newer\.safetensors was written by another version"):
        load_checkpoint(path)


@pytest.mark.parametrize("place", ["absent.safetensors", "folder"])
def test_no_file_is_an_unknown_name(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnknownNameError, match=place):
        load_checkpoint(tmp_path / place)


def test_unwritable_places_are_output_errors(tmp_path: Path) -> None:
    agent, params = (checkpoint := initial("vgm2p", SMALL, SPEC, 0)).agent, checkpoint.params
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a.safetensors", tmp_path / "folder"):
        with pytest.raises(OutputError, match=path.name.replace(".", r"\.")):
            save_checkpoint(path, agent, params, {})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"], "nothing is left behind"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.safetensors"
    saved(path)
    before = path.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        saved(path, "ppo", PpoConfig(hidden=(3,)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"scenario": "8m-v1"}, ("3m-v1", "8m-v1", "or --map 3m")),
        ({"scenario": "3m-v2"}, ("3m-v1", "3m-v2", "or --map 3m")),
        ({"scenario": "8m-v1", "layout": "x"}, ("3m-v1", "8m-v1", "or --map 3m --layout smac-v1")),
        (
            {"layout": "smac-v2"},
            ("'smac-v1'", "'smac-v2'; add --layout smac-v1, or", "checkpoint of smac-v2"),
        ),
        ({"n_agents": 3}, ("'2'", "'3'", "n_agents", "another version", "of 3m-v1 or train it again")),
        ({"observation_size": 9}, ("'3'", "'9'", "observation_size")),
        ({"action_size": 8}, ("'3'", "'8'", "action_size")),
    ],
)
def test_a_team_of_another_world_is_refused_and_both_are_named(
    change: dict[str, Any], names: tuple[str, ...], tmp_path: Path
) -> None:
    saved(tmp_path / "agent.safetensors")
    checkpoint = load_checkpoint(tmp_path / "agent.safetensors")
    check_fits(checkpoint, SPEC)
    check_fits(checkpoint, replace(SPEC, engine="real-sc2/5", episode_limit=9))
    with pytest.raises(MismatchError) as caught:
        check_fits(checkpoint, replace(SPEC, **change))
    assert all(name in str(caught.value) for name in (*names, "agent.safetensors"))
    assert ("--map" in str(caught.value)) == ("scenario" in change), "this map needs no other"


def test_initial_weights_follow_the_seed_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (initial("vgm2p", SMALL, SPEC, seed).weights_hash for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"

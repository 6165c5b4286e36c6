"""OG-MARL vaults: one that Flashbax wrote, those that we write, and damaged ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vault_formulas
from recorded import CONTINUOUS, make_episode, write

from datasets.convert import convert
from datasets.formats import vault_writer
from datasets.formats.native import open_dataset
from datasets.formats.source import Reading
from datasets.schema import Dataset
from env_adapters.errors import CorruptFileError, InvalidValueError, OutputError, UnknownNameError
from env_adapters.rollout import Episode

tensorstore = pytest.importorskip("tensorstore", reason="reading vaults needs the extra 'vault'")
GOLDEN = Path(__file__).parent / "golden_datasets" / "og_marl" / "smac_v1" / "3m.vlt" / "Good"


def make_vault(
    folder: Path, rows: dict[str, np.ndarray[Any, Any]], n_rows: int | None = None, **extra: object
) -> Path:
    """A vault of these arrays [K, T, ...], written here with tensorstore alone."""
    from datasets.formats.vault_store import INDEX, array_spec

    folder.mkdir(parents=True)
    structure: dict[str, Any] = {}
    for name, values in rows.items():
        *branch, leaf = name.removesuffix(".").split(".")
        (structure.setdefault(branch[0], {}) if branch else structure)[leaf] = str(values.shape)
        shape = [values.shape[0], 10**13, *values.shape[2:]]
        store = tensorstore.open(
            array_spec(folder, name), dtype=values.dtype.name, shape=shape, create=True
        ).result()
        store[:, : values.shape[1]].write(values).result()
    index = tensorstore.open(array_spec(folder, INDEX), dtype="int32", shape=[1], create=True).result()
    index.write(np.array([n_rows or rows["rewards."].shape[1]], np.int32)).result()
    (folder / "metadata.json").write_text(json.dumps({"version": 1.0, "structure_shape": structure, **extra}))
    return folder


def read(vault: Path, tmp_path: Path, **reading: Any) -> Dataset:
    convert(vault, tmp_path / "out.h5", reading=Reading(**reading))
    return open_dataset(tmp_path / "out.h5")


def one_stream() -> dict[str, np.ndarray[Any, Any]]:
    return {name: values[None].copy() for name, values in vault_formulas.rows().items()}


def robot(limits: tuple[int, ...], n_agents: int = 3, size: int = 14) -> dict[str, np.ndarray[Any, Any]]:
    """OMIGA's rows: standardised vectors, the last row of each episode flagged and no transition."""
    rng = np.random.default_rng(0)
    t = sum(limits)
    vectors = rng.normal(size=(1, t, n_agents, size))
    vectors = (vectors - vectors.mean(-1, keepdims=True)) / vectors.std(-1, keepdims=True)
    ended = np.zeros((1, t, n_agents), np.bool_)
    ended[:, np.cumsum(limits) - 1] = True
    return {
        "observations.": vectors.astype(np.float32),
        "actions.": rng.uniform(-1.5, 1.5, (1, t, n_agents, 1)).astype(np.float32),
        "rewards.": np.repeat(rng.normal(size=(1, t, 1)), n_agents, axis=2).astype(np.float32),
        "terminals.": ended,
        "truncations.": np.zeros_like(ended),
        "infos.state.": vectors[:, :, 0].astype(np.float32),
    }


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_vault_of_flashbax_is_read_exactly(tmp_path: Path, version: str) -> None:
    vault = tmp_path / "og_marl" / "smac_v1" / "3m.vlt" / "Good"
    recorded = GOLDEN if version == "1.2" else GOLDEN.parents[3] / f"flashbax-{version}" / "3m.vlt" / "Good"
    shutil.copytree(recorded, vault)
    metadata = json.loads((vault / "metadata.json").read_text())
    assert metadata["version"] == float(version)
    conversion = convert(vault, tmp_path / "out.h5")
    assert conversion.notes == ("4 rows outside whole episodes were left out",)
    dataset, rows = open_dataset(tmp_path / "out.h5"), vault_formulas.rows()
    assert dataset.card.source == conversion.card.source == "og-marl/smac_v1/3m/Good"
    assert (dataset.card.scenario, dataset.card.layout) == ("3m-v1", "smac-v1")
    assert np.diff(dataset.episode_offsets).tolist() == list(vault_formulas.LENGTHS)
    used = sum(vault_formulas.LENGTHS)
    batch = dataset.transitions(np.arange(used))
    np.testing.assert_array_equal(batch.observations, rows["observations."][:used])
    np.testing.assert_array_equal(batch.states, rows["infos.state."][:used])
    np.testing.assert_array_equal(batch.actions, rows["actions."][:used])
    np.testing.assert_array_equal(batch.rewards, rows["rewards."][:used, 0])
    np.testing.assert_array_equal(batch.available_actions, rows["infos.legals."][:used] == 1)
    np.testing.assert_array_equal(np.flatnonzero(batch.terminated), vault_formulas.ENDS)
    assert not batch.truncated.any()
    inner = np.flatnonzero(~batch.terminated)
    np.testing.assert_array_equal(batch.next_observations[inner], rows["observations."][inner + 1])
    np.testing.assert_array_equal(
        batch.next_observations[9], rows["observations."][9]
    )  # not the next episode's
    assert dataset.episode_seeds.tolist() == [-1, -1, -1]
    assert (dataset.card.seed, dataset.card.win_rate) == (-1, None)


def test_the_layout_of_a_simulator_is_claimed_only_where_sizes_agree(tmp_path: Path) -> None:
    rows = one_stream()
    rows["observations."] = rows["observations."][..., :29]
    vault = make_vault(tmp_path / "og_marl" / "smac_v1" / "3m.vlt" / "Good", rows)
    assert read(vault, tmp_path).card.layout == "og_marl-smac_v1-data"
    elsewhere = make_vault(tmp_path / "x" / "y" / "z.vlt" / "Good", one_stream())
    card = read(elsewhere, tmp_path, map="3m").card
    assert (card.scenario, card.layout, card.source) == ("3m-v1", "x-y-data", "")
    assert read(elsewhere, tmp_path, map="3m", layout="mine").card.layout == "mine"


def test_five_seeds_become_five_behaviours_and_types_are_cast(tmp_path: Path) -> None:
    rows = {name: np.repeat(values, 5, axis=0) for name, values in one_stream().items()}
    rows["rewards."] = (rows["rewards."] + np.arange(5)[:, None, None]).astype(np.float64)
    rows["actions."] = rows["actions."].astype(np.int64)[..., None]
    rows["terminals."] = rows["terminals."].astype(np.float32)
    del rows["truncations."]
    dataset = read(make_vault(tmp_path / "a.vlt" / "Expert", rows), tmp_path)
    assert [(b.name, b.n_episodes) for b in dataset.card.behaviours] == [(f"Expert/{k}", 3) for k in range(5)]
    expected = np.concatenate([vault_formulas.rows()["rewards."][:35, 0] + k for k in range(5)])
    np.testing.assert_array_equal(dataset.rewards, expected.astype(np.float32))
    np.testing.assert_array_equal(dataset.actions[35:70], vault_formulas.rows()["actions."][:35])


def test_omiga_robots_end_one_row_later(tmp_path: Path) -> None:
    rows = robot((1001, 31, 1001, 7))
    vault = make_vault(tmp_path / "omiga" / "mamujoco" / "3hopper.vlt" / "Medium", rows)
    conversion = convert(vault, tmp_path / "out.h5")
    assert "flagged rows are read as final observations" in conversion.notes[0]
    dataset = open_dataset(tmp_path / "out.h5")
    assert np.diff(dataset.episode_offsets).tolist() == [1000, 30, 1000, 6]
    assert (dataset.card.scenario, dataset.card.layout) == (
        "3hopper-v1",
        "mamujoco-omiga-v2+standardised_state",
    )
    last = dataset.transitions(dataset.episode_offsets[1:] - 1)
    assert last.truncated.tolist() == [True, False, True, False]
    assert last.terminated.tolist() == [False, True, False, True]
    ends = np.cumsum((1001, 31, 1001, 7)) - 1
    np.testing.assert_array_equal(last.next_observations, rows["observations."][0, ends])
    np.testing.assert_array_equal(last.rewards, rows["rewards."][0, ends - 1, 0])
    plain = read(vault, tmp_path, terminals="transition")
    assert np.diff(plain.episode_offsets).tolist() == [1001, 31, 1001, 7]


def test_flags_that_were_corrected_before_are_left_alone(tmp_path: Path) -> None:
    dataset = read(make_vault(tmp_path / "3hopper.vlt" / "Medium", robot((1000, 31))), tmp_path)
    assert np.diff(dataset.episode_offsets).tolist() == [1000, 31]
    corrected = make_vault(tmp_path / "b.vlt" / "Medium", robot((20, 31)), terminals="last transition")
    assert np.diff(read(corrected, tmp_path).episode_offsets).tolist() == [20, 31]


def test_truncated_episodes_give_their_last_row_as_next_observation(tmp_path: Path) -> None:
    rows = one_stream()
    rows["terminals."][0, 21], rows["truncations."][0, 21] = False, True
    vault = make_vault(tmp_path / "a.vlt" / "Good", rows)
    dataset = read(vault, tmp_path)
    assert np.diff(dataset.episode_offsets).tolist() == [10, 11, 13]
    batch = dataset.transitions(np.array([20]))
    assert batch.truncated.tolist() == [True]
    np.testing.assert_array_equal(batch.next_observations[0], rows["observations."][0, 21])


@pytest.mark.parametrize("group_rows", [50_000, 3])
def test_what_we_write_comes_back(
    tmp_path: Path, episodes: list[Episode], group_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_writer, "_GROUP_ROWS", group_rows)
    for spec in (None, CONTINUOUS):
        rng = np.random.default_rng(3)
        made = episodes if spec is None else [make_episode(rng, n, spec, False) for n in (4, 2)]
        for episode in made:
            episode.terminated, episode.truncated = True, False
            if episode.available_actions:
                for step, action in enumerate(episode.actions):
                    assert episode.available_actions[step][np.arange(2), action].all()
        name = "discrete" if spec is None else "continuous"
        card = (
            write(tmp_path / f"{name}.h5", made)
            if spec is None
            else write(tmp_path / f"{name}.h5", made, spec)
        )
        convert(tmp_path / f"{name}.h5", tmp_path / name, to="vault")
        back, was = read(tmp_path / name, tmp_path), open_dataset(tmp_path / f"{name}.h5")
        assert back.card.source == ""
        compressors = {array["metadata"]["compressor"]["id"] for array in stored_specs(tmp_path / name)}
        assert compressors == {"gzip"}  # version 1.1 opens nothing else
        for key in ("scenario", "layout", "engine", "n_transitions", "returns"):
            assert getattr(back.card, key) == getattr(card, key)
        indices = np.arange(was.n_transitions)
        for key in (
            "observations",
            "actions",
            "rewards",
            "states",
            "terminated",
            "truncated",
            "available_actions",
        ):
            np.testing.assert_array_equal(
                getattr(back.transitions(indices), key), getattr(was.transitions(indices), key)
            )


def stored_specs(vault: Path) -> list[dict[str, Any]]:
    """How every array of a vault is stored, the index too."""
    from datasets.formats.vault_store import INDEX, array_spec, leaves, read_metadata

    names = [INDEX, *leaves(read_metadata(vault)["structure_shape"])]
    return [tensorstore.open(array_spec(vault, name)).result().spec().to_json() for name in names]


def spoiled(key: str, place: tuple[int, ...], value: float) -> dict[str, np.ndarray[Any, Any]]:
    rows = one_stream()
    rows[key][place] = value
    return rows


BAD = {
    "nan": (spoiled("observations.", (0, 17, 1, 2), np.nan), r"'observations\.' row 17 is not finite"),
    "unknown action": (spoiled("actions.", (0, 30, 1), 9), r"'actions\.' row 30 is .* 0 to 8"),
    "forbidden action": (spoiled("infos.legals.", (0, 0, 0, 0), 0), r"'actions\.' row 0 of agent 0 is action 0, .* not available"),
    "rewards": (spoiled("rewards.", (0, 12, 2), 9), r"'rewards\.' row 12 differs between agents"),
    "no ends": (spoiled("terminals.", (0,), False), r"'terminals\.' flags no end"),
    "missing": ({k: v for k, v in one_stream().items() if k != "rewards."} | {"rewards.x.": one_stream()["rewards."]}, r"'rewards\.' is missing"),
    "agents": (one_stream() | {"actions.": np.zeros((1, 39, 4), np.int32)}, r"'actions\.' has rows of shape \(4,\)"),
    "text": (one_stream() | {"infos.state.": np.zeros((1, 39, 4), np.complex64)}, r"'infos\.state\.' has type complex64"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_contents_are_named_and_leave_nothing(tmp_path: Path, name: str) -> None:
    rows, message = BAD[name]
    vault = make_vault(tmp_path / "a.vlt" / "Good", rows, n_rows=39)
    (tmp_path / "out").mkdir()
    with pytest.raises(CorruptFileError, match=message) as caught:
        convert(vault, tmp_path / "out" / "new.h5")
    assert str(vault) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(CorruptFileError):
        convert(vault, tmp_path / "out" / "vault", to="vault")
    assert list((tmp_path / "out").iterdir()) == []


def test_forbidden_actions_are_kept_on_request(tmp_path: Path) -> None:
    vault = make_vault(tmp_path / "a.vlt" / "Good", BAD["forbidden action"][0])
    assert read(vault, tmp_path, keep_illegal=True).n_transitions == 35


def test_damaged_files_are_noticed(tmp_path: Path) -> None:
    damaged = 0
    for index, file in enumerate(sorted((GOLDEN / "d").iterdir())):
        for change in (bytes, lambda content: content[: len(content) // 2]):
            vault = tmp_path / f"{index}{damaged}.vlt"
            shutil.copytree(GOLDEN, vault)
            (vault / "d" / file.name).write_bytes(change(file.read_bytes()) if change is not bytes else b"")
            try:
                convert(vault, tmp_path / "x.h5")
            except CorruptFileError as error:
                assert "\n" not in str(error)
                damaged += 1
            shutil.rmtree(vault)
    assert damaged >= 8  # the store keeps some superseded files
    for text in ("", "{}", "[]", '{"version": 2.0, "structure_shape": {}}', "[" * 100_000):
        vault = tmp_path / "meta.vlt"
        shutil.copytree(GOLDEN, vault, dirs_exist_ok=True)
        (vault / "metadata.json").write_text(text)
        with pytest.raises(CorruptFileError, match=r"metadata\.json"):
            convert(vault, tmp_path / "x.h5")


def test_rows_that_were_never_written_are_noticed(tmp_path: Path) -> None:
    vault = make_vault(tmp_path / "a.vlt" / "Good", one_stream(), n_rows=2_000_000)
    with pytest.raises(CorruptFileError, match=r"observations\.|terminals\."):
        read(vault, tmp_path)


def test_places(tmp_path: Path, path: Path) -> None:
    convert(GOLDEN.parent, tmp_path / "out.h5")  # the only quality inside
    with pytest.raises(OutputError, match="exists"):
        convert(path, tmp_path, to="vault")
    with pytest.raises(InvalidValueError, match="native already"):
        convert(path, tmp_path / "b.h5")
    with pytest.raises(InvalidValueError, match="source itself"):
        convert(path, path)
    with pytest.raises(UnknownNameError, match="there is no dataset"):
        convert(tmp_path / "nothing", tmp_path / "b.h5")
    with pytest.raises(UnknownNameError, match="no dataset folder"):
        convert(tmp_path, tmp_path / "b.h5")

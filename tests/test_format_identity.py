"""What data of others are taken for: layouts, scenarios and formats, and what is said where it cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_format_folders import madiff, omar
from test_format_folders import save as save_folder
from test_format_hdf5 import cfcql, omiga
from test_format_hdf5 import save as save_hdf5

from datasets.convert import convert
from datasets.formats.native import open_dataset
from datasets.formats.source import Reading
from env_adapters.errors import CorruptFileError, MismatchError


def layout(path: Path, tmp_path: Path, **reading: Any) -> str:
    return convert(path, tmp_path / "out.h5", reading=Reading(**reading)).card.layout


def test_a_layout_of_the_simulator_needs_its_sizes(tmp_path: Path) -> None:
    path = save_folder(tmp_path / "3m" / "Good", madiff())
    for name in ("smac-v1", "smac-v1+obs_last_action"):
        with pytest.raises(
            MismatchError, match=r"observations of 30.* states of 48, 9 .* observations of 7, states of 5, 6"
        ):
            layout(path, tmp_path, layout="smac-v1")
        assert layout(path, tmp_path, layout=f"my-{name}") == f"my-{name}"
    with pytest.raises(MismatchError, match=r"--layout smacv2: .*cannot be played in layout"):
        layout(path, tmp_path, layout="smacv2")
    assert layout(path, tmp_path, map="unknown", layout="smac-v1") == "smac-v1"
    good = save_hdf5(tmp_path / "5m_vs_6m_medium.h5", cfcql())
    assert layout(good, tmp_path, layout="smac-v1") == "smac-v1"


def test_omigas_layout_needs_standardised_observations(tmp_path: Path) -> None:
    arrays = omiga()
    path = save_hdf5(tmp_path / "Hopper-v2-3x1-expert.hdf5", arrays)
    assert layout(path, tmp_path) == "mamujoco-omiga-v2+standardised_state"
    save_hdf5(path, arrays | {"o": arrays["o"] * 2})
    assert layout(path, tmp_path) == "omiga-mamujoco-data"
    with pytest.raises(MismatchError, match="standardised per vector, those of the data are not"):
        layout(path, tmp_path, layout="mamujoco-omiga-v2+standardised_state")


def test_omigas_layout_needs_the_robots_sizes(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    assert (
        layout(save_hdf5(tmp_path / "Hopper-v2-3x1-x.hdf5", omiga(d=15)), tmp_path) == "omiga-mamujoco-data"
    )


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., Path]:
    """Makes a vault that says itself what it holds."""
    pytest.importorskip("tensorstore", reason="vaults need the extra 'vault'")
    from test_format_vault import make_vault, one_stream

    def make(size: int = 30, folder: str = "3m.vlt", **extra: str) -> Path:
        rows = one_stream()
        rows["observations."] = rows["observations."][..., :size]
        said = {"scenario": "3m-v1", "layout": "smac-v1", "engine": "x"} | extra
        return make_vault(tmp_path / f"{size}{''.join(extra)}" / folder / "Good", rows, **said)

    return make


def test_what_a_vault_says_of_itself_is_checked(tmp_path: Path, told: Callable[..., Path]) -> None:
    assert layout(told(), tmp_path) == "smac-v1"
    with pytest.raises(
        MismatchError, match=r"metadata\.json: 3m-v1 in layout smac-v1 has .*of 30.*the data have .*of 29"
    ):
        layout(told(29), tmp_path)
    with pytest.raises(
        MismatchError, match=r"metadata\.json says that the vault holds 8m-v1, but its folder says 3m"
    ):
        layout(told(scenario="8m-v1"), tmp_path)
    assert layout(told(28, folder="anything"), tmp_path, layout="mine") == "mine"


def test_vaults_carry_no_digest_that_nobody_checks(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="vaults need the extra 'vault'")
    convert(save_hdf5(tmp_path / "5m_vs_6m.h5", cfcql()), tmp_path / "v", to="vault")
    assert "sha256" not in json.loads((tmp_path / "v" / "metadata.json").read_text())
    assert convert(tmp_path / "v", tmp_path / "back.h5").card.source == ""


def test_a_vault_longer_than_its_map_allows(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="vaults need the extra 'vault'")
    from test_format_vault import make_vault, one_stream

    rows = {key: np.repeat(values, 3, axis=1) for key, values in one_stream().items()}
    rows["terminals."][:] = False
    rows["terminals."][:, -1] = True
    vault = make_vault(tmp_path / "og_marl" / "smac_v1" / "3m.vlt" / "Good", rows)
    with pytest.raises(
        CorruptFileError,
        match=r"'terminals\.' row 116 makes an episode of 117 steps, but 3m-v1 ends after 60",
    ):
        convert(vault, tmp_path / "out.h5")


@pytest.mark.parametrize(("key", "make"), [*((k, cfcql) for k in ("terminated", "obs", "actions", "state", "avail_actions")),
                                           *((k, omiga) for k in "soard")])  # fmt: skip
def test_missing_arrays_are_named(tmp_path: Path, key: str, make: Callable[[], dict[str, Any]]) -> None:
    arrays = make()
    del arrays[key]
    path = save_hdf5(tmp_path / "x.h5", arrays)
    what = "episodes of PyMARL" if make is cfcql else "OMIGA's HDF5"
    with pytest.raises(CorruptFileError, match=rf"x\.h5: '{key}' is missing; the file resembles {what}"):
        convert(path, tmp_path / "out.h5")


def test_missing_files_are_named(tmp_path: Path) -> None:
    cases = {"path_lengths.npy": (madiff(), "MADiff"), "obs_0.npy": (omar(), "OMAR")}
    for number, (name, (arrays, what)) in enumerate(cases.items()):
        arrays.pop(name.removesuffix(".npy"))
        folder = save_folder(tmp_path / str(number), arrays)
        with pytest.raises(CorruptFileError, match=rf"'{name}' is missing; the folder resembles .*{what}"):
            convert(folder, tmp_path / "out.h5")


@pytest.mark.parametrize("name", ["metadata.json", "manifest.ocdbt"])
def test_missing_files_of_a_vault_are_named(tmp_path: Path, told: Callable[..., Path], name: str) -> None:
    vault = told()
    (vault / name).unlink()
    for path in (vault, vault.parent) if name == "manifest.ocdbt" else (vault,):
        with pytest.raises(CorruptFileError, match=rf"'{name}' is missing"):
            convert(path, tmp_path / "out.h5")


def test_shapes_are_said_plainly_and_of_the_right_file(tmp_path: Path) -> None:
    arrays = cfcql()
    arrays["reward"] = arrays["reward"][:, :50]
    path = save_hdf5(tmp_path / "5m_vs_6m.h5", arrays)
    with pytest.raises(CorruptFileError, match=r"has shape \(4, 50, 1\), expected \(E, 71, 1\)"):
        convert(path, tmp_path / "out.h5")
    files = omar()
    files["obs_0"] = files["obs_0"][:, None]
    with pytest.raises(
        CorruptFileError, match=r"'obs_0\.npy' has shape \(100, 1, 18\), expected \(rows, size\)"
    ):
        convert(save_folder(tmp_path / "a" / "b", files), tmp_path / "out.h5")
    files["obs_0"] = files["obs_0"][:, 0]
    files["obs_1"] = files["obs_1"][:, :17]
    with pytest.raises(CorruptFileError, match=r"'obs_1\.npy' has shape \(100, 17\)"):
        convert(save_folder(tmp_path / "c" / "b", files), tmp_path / "out.h5")


def test_steps_of_states_and_rewards_are_named(tmp_path: Path) -> None:
    for key in ("state", "reward"):
        arrays = cfcql()
        arrays[key][3, 41] = np.nan
        path = save_hdf5(tmp_path / "5m_vs_6m.h5", arrays)
        with pytest.raises(CorruptFileError, match=f"'{key}' episode 3, step 41 is not finite"):
            convert(path, tmp_path / "out.h5")
    convert(save_hdf5(path, cfcql()), tmp_path / "out.h5")
    assert open_dataset(tmp_path / "out.h5").n_episodes == 4
